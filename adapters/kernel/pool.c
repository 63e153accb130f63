/*
pool.c: max and average pooling. Included by kernel_f32.c and kernel_f64.c; see there for REAL and NAME.

Padding is never made: a window is cut to the taps that lie on the input, at least one (shape.c).
*/

/* The taps [first, last) of the window that starts at `start`, `dilation` apart, that lie in [low, high) */
static void NAME(taps_in)(int64_t start, int64_t taps, int64_t dilation, int64_t low, int64_t high, int64_t out[2])
{
    int64_t first = start < low ? (low - start - 1) / dilation + 1 : 0;
    int64_t last = start < high ? (high - start - 1) / dilation + 1 : 0;
    out[0] = first;
    out[1] = last < taps ? last : taps;
}

int NAME(max_pool2d)(const struct max_pool2d *p, const REAL *x, REAL *y)
{
    int64_t shape[4];
    int status = max_pool2d_shape(p, shape);
    if (status)
        return status;
    const int64_t I = shape[2], J = shape[3], dh = p->dilation[0], dw = p->dilation[1];
    for (int64_t nc = 0; nc < p->n * p->c; nc++) {
        const REAL *channel = x + nc * p->h * p->w;
        for (int64_t i = 0; i < I; i++) {
            int64_t r[2], top = i * p->stride[0] - p->padding[0][0];
            NAME(taps_in)(top, p->kernel_size[0], dh, 0, p->h, r);
            for (int64_t j = 0; j < J; j++) {
                int64_t s[2], left = j * p->stride[1] - p->padding[1][0];
                NAME(taps_in)(left, p->kernel_size[1], dw, 0, p->w, s);
                REAL most = -(REAL)INFINITY; /* no tap is below it, so one is always taken */
                for (int64_t a = r[0]; a < r[1]; a++)
                    for (int64_t b = s[0]; b < s[1]; b++) {
                        REAL value = channel[(top + a * dh) * p->w + left + b * dw];
                        if (value > most || value != value) /* once NaN, nothing compares greater */
                            most = value;
                    }
                y[(nc * I + i) * J + j] = most;
            }
        }
    }
    return CONVSPEC_OK;
}

/* By how much the sum of a window is divided: its taps on the input, or on the input with its padding */
static int64_t NAME(divisor)(const struct avg_pool2d *p, int64_t top, int64_t left)
{
    static const int64_t none[2] = {0, 0};
    const int64_t *rows = p->count_include_pad ? p->padding[0] : none;
    const int64_t *columns = p->count_include_pad ? p->padding[1] : none;
    int64_t r[2], s[2];
    NAME(taps_in)(top, p->kernel_size[0], 1, -rows[0], p->h + rows[1], r);
    NAME(taps_in)(left, p->kernel_size[1], 1, -columns[0], p->w + columns[1], s);
    return (r[1] - r[0]) * (s[1] - s[0]);
}

int NAME(avg_pool2d)(const struct avg_pool2d *p, const REAL *x, REAL *y)
{
    int64_t shape[4];
    int status = avg_pool2d_shape(p, shape);
    if (status)
        return status;
    const int64_t I = shape[2], J = shape[3];
    for (int64_t nc = 0; nc < p->n * p->c; nc++) {
        const REAL *channel = x + nc * p->h * p->w;
        for (int64_t i = 0; i < I; i++) {
            int64_t r[2], top = i * p->stride[0] - p->padding[0][0];
            NAME(taps_in)(top, p->kernel_size[0], 1, 0, p->h, r);
            for (int64_t j = 0; j < J; j++) {
                int64_t s[2], left = j * p->stride[1] - p->padding[1][0];
                NAME(taps_in)(left, p->kernel_size[1], 1, 0, p->w, s);
                REAL sum = 0;
                for (int64_t a = r[0]; a < r[1]; a++)
                    for (int64_t b = s[0]; b < s[1]; b++)
                        sum += channel[(top + a) * p->w + left + b];
                y[(nc * I + i) * J + j] = sum / (REAL)NAME(divisor)(p, top, left);
            }
        }
    }
    return CONVSPEC_OK;
}
