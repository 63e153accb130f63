/*
normalize.c: layer, group, instance and pixel group normalization, and what batch normalization shares with them.
Included by kernel_f32.c and kernel_f64.c; see there for REAL and NAME.

Each takes sets of elements. A set gets its mean, then the mean of the squares of what differs from it, and only then is
anything written. All of it is computed in double, in float too: y is rounded once.
*/

/* Where the elements of a set lie: `blocks` runs of `length` neighbours, each run `step` behind the one before. All
   elements of a run have the same weight and bias. */
struct set {
    int64_t blocks, step, length;
};

/* Of a set: how many elements, their mean, the sum of squares about it, the first, and whether all are equal to it. */
struct moments {
    double count, mean, squares, first;
    int constant;
};

/* The moments of a set of at least one element. The mean is corrected by the mean of what is left after it: its own
   rounding error would enter the squares. */
static struct moments NAME(moments)(const REAL *x, struct set set)
{
    struct moments m = {.count = (double)set.blocks * (double)set.length, .first = x[0], .constant = 1};
    double sum = 0;
    for (int64_t b = 0; b < set.blocks; b++)
        for (int64_t e = 0; e < set.length; e++) {
            const REAL value = x[b * set.step + e];
            sum += value;
            if (value != x[0]) /* NaN differs from everything */
                m.constant = 0;
        }
    const double mean = sum / m.count;
    double left = 0;
    for (int64_t b = 0; b < set.blocks; b++)
        for (int64_t e = 0; e < set.length; e++)
            left += x[b * set.step + e] - mean;
    m.mean = mean + left / m.count;
    for (int64_t b = 0; b < set.blocks; b++)
        for (int64_t e = 0; e < set.length; e++) {
            const double off = x[b * set.step + e] - m.mean;
            m.squares += off * off;
        }
    return m;
}

/* y = (x - mean) / sqrt(variance + eps) * weight + bias. Run b has weight[b * affine_step], 1 where weight is NULL, and
   so for the bias. */
static void NAME(standardize)(const REAL *x, struct set set, double mean, double variance, double eps,
                              const REAL *weight, const REAL *bias, int64_t affine_step, REAL *y)
{
    const double root = sqrt(variance + eps);
    for (int64_t b = 0; b < set.blocks; b++) {
        const double times = weight == NULL ? 1 : weight[b * affine_step];
        const double plus = bias == NULL ? 0 : bias[b * affine_step];
        for (int64_t e = 0; e < set.length; e++)
            y[b * set.step + e] = (REAL)((x[b * set.step + e] - mean) / root * times + plus);
    }
}

/* A set of at least one element; run b has weight[b] and bias[b]. Without eps and variance there is no quotient. */
static int NAME(normalize)(const REAL *x, struct set set, double eps, const REAL *weight, const REAL *bias, REAL *y)
{
    const struct moments m = NAME(moments)(x, set);
    if (eps == 0 && m.constant)
        return CONVSPEC_INVALID;
    NAME(standardize)(x, set, m.mean, m.squares / m.count, eps, weight, bias, 1, y);
    return CONVSPEC_OK;
}

int NAME(layer_norm)(const struct layer_norm *p, const REAL *x, const REAL *weight, const REAL *bias, REAL *y)
{
    int64_t shape[2];
    int status = layer_norm_shape(p, shape);
    if (status)
        return status;
    if ((weight == NULL) != (p->weight_elements == -1) || (bias == NULL) != (p->bias_elements == -1))
        return CONVSPEC_INVALID;
    const struct set set = {p->elements, 1, 1}; /* each element has a weight and a bias */
    if (p->elements == 0)
        return CONVSPEC_OK;
    for (int64_t s = 0; s < p->sets && status == CONVSPEC_OK; s++)
        status = NAME(normalize)(x + s * p->elements, set, p->eps, weight, bias, y + s * p->elements);
    return status;
}

/* The channels of every image in `groups` groups, over all pixels or, with `pixels`, for each pixel alone */
static int NAME(normalize_groups)(const int64_t sizes[4], int64_t groups, int pixels, const REAL *x, const REAL *weight,
                                  const REAL *bias, double eps, REAL *y)
{
    const int64_t N = sizes[0], C = sizes[1];
    if (N == 0 || C == 0 || sizes[2] == 0 || sizes[3] == 0)
        return CONVSPEC_OK;
    const int64_t HW = sizes[2] * sizes[3], channels = C / groups;
    const struct set set = {channels, HW, pixels ? 1 : HW};
    for (int64_t n = 0; n < N; n++)
        for (int64_t g = 0; g < groups; g++)
            for (int64_t pixel = 0; pixel < (pixels ? HW : 1); pixel++) {
                const int64_t first = g * channels, at = (n * C + first) * HW + pixel;
                int status = NAME(normalize)(x + at, set, eps, weight == NULL ? NULL : weight + first,
                                             bias == NULL ? NULL : bias + first, y + at);
                if (status)
                    return status;
            }
    return CONVSPEC_OK;
}

int NAME(group_norm)(const struct group_norm *p, const REAL *x, const REAL *weight, const REAL *bias, REAL *y)
{
    int64_t shape[4];
    int status = group_norm_shape(p, shape);
    if (status)
        return status;
    if ((weight == NULL) != (p->weight_c == -1) || (bias == NULL) != (p->bias_c == -1))
        return CONVSPEC_INVALID;
    return NAME(normalize_groups)(shape, p->groups, 0, x, weight, bias, p->eps, y);
}

int NAME(pixel_group_norm)(const struct pixel_group_norm *p, const REAL *x, const REAL *weight, const REAL *bias,
                           REAL *y)
{
    int64_t shape[4];
    int status = pixel_group_norm_shape(p, shape);
    if (status)
        return status;
    if ((weight == NULL) != (p->weight_c == -1) || (bias == NULL) != (p->bias_c == -1))
        return CONVSPEC_INVALID;
    return NAME(normalize_groups)(shape, p->groups, 1, x, weight, bias, p->eps, y);
}

/* a group for each channel */
int NAME(instance_norm2d)(const struct instance_norm2d *p, const REAL *x, const REAL *weight, const REAL *bias, REAL *y)
{
    int64_t shape[4];
    int status = instance_norm2d_shape(p, shape);
    if (status)
        return status;
    if ((weight == NULL) != (p->weight_c == -1) || (bias == NULL) != (p->bias_c == -1))
        return CONVSPEC_INVALID;
    return NAME(normalize_groups)(shape, p->c, 0, x, weight, bias, p->eps, y);
}
