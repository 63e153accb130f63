/*
batch_norm.c: batch normalization, on one device and on several. Included by kernel_f32.c and kernel_f64.c; see there
for REAL and NAME.

A set is a channel over all images (normalize.c). The devices of the synchronous form are played one after another: each
takes the moments of its own images, and only these are combined.
*/

/* A channel of `images` images */
static struct set channel_of(int64_t images, int64_t C, int64_t HW)
{
    const struct set set = {images, C * HW, HW};
    return set;
}

/* The moments of two sets together (Chan, Golub, LeVeque 1979) */
static struct moments combined(struct moments a, struct moments b)
{
    if (a.count == 0)
        return b;
    if (b.count == 0)
        return a;
    const double count = a.count + b.count, apart = b.mean - a.mean;
    const struct moments both = {
        .count = count,
        .mean = a.mean + apart * (b.count / count),
        .squares = a.squares + b.squares + apart * apart * (a.count / count * b.count),
        .first = a.first,
        .constant = a.constant && b.constant && a.first == b.first,
    };
    return both;
}

/* Old and new running statistics. `old` and `renewed` are NULL together, where there are none. */
struct NAME(running) {
    const REAL *old_mean, *old_var;
    REAL *mean, *var;
    int64_t channels;
    double momentum;
};

/* Are the arrays there that the lengths, -1 for none, speak of? */
static int NAME(is_present)(const struct NAME(running) *r, int64_t mean_c, int64_t var_c)
{
    return (r->old_mean == NULL) == (mean_c == -1) && (r->old_var == NULL) == (var_c == -1) &&
           (r->mean == NULL) == (mean_c == -1) && (r->var == NULL) == (var_c == -1);
}

/* To the bit, where nothing is learnt */
static void NAME(keep)(const struct NAME(running) *r)
{
    if (r->old_mean == NULL || r->channels == 0)
        return;
    memcpy(r->mean, r->old_mean, (size_t)r->channels * sizeof(REAL));
    memcpy(r->var, r->old_var, (size_t)r->channels * sizeof(REAL));
}

/* new = (1 - momentum) * old + momentum * statistic; the variance that is remembered is divided by one less */
static void NAME(learn)(const struct NAME(running) *r, int64_t c, const struct moments *m)
{
    if (r->old_mean == NULL)
        return;
    const double variance = m->squares / (m->count - 1);
    r->mean[c] = (REAL)((1 - r->momentum) * r->old_mean[c] + r->momentum * m->mean);
    r->var[c] = (REAL)((1 - r->momentum) * r->old_var[c] + r->momentum * variance);
}

int NAME(batch_norm2d)(const struct batch_norm2d *p, const REAL *x, const REAL *weight, const REAL *bias,
                       const REAL *running_mean, const REAL *running_var, REAL *y, REAL *new_running_mean,
                       REAL *new_running_var)
{
    int64_t shape[4];
    int status = batch_norm2d_shape(p, shape);
    if (status)
        return status;
    const struct NAME(running) running = {
        running_mean, running_var, new_running_mean, new_running_var, p->c, p->momentum,
    };
    if ((weight == NULL) != (p->weight_c == -1) || (bias == NULL) != (p->bias_c == -1) ||
        !NAME(is_present)(&running, p->running_mean_c, p->running_var_c))
        return CONVSPEC_INVALID;
    const int is_empty = p->n == 0 || p->h == 0 || p->w == 0;
    if (is_empty || !p->training)
        NAME(keep)(&running);
    if (!p->training)
        for (int64_t c = 0; c < p->c; c++)
            if (running_var[c] < 0 || (running_var[c] == 0 && p->eps == 0))
                return CONVSPEC_INVALID;
    if (is_empty)
        return CONVSPEC_OK;

    const int64_t HW = p->h * p->w;
    const struct set set = channel_of(p->n, p->c, HW);
    for (int64_t c = 0; c < p->c; c++) {
        double mean, variance;
        if (p->training) {
            const struct moments m = NAME(moments)(x + c * HW, set);
            if (p->eps == 0 && m.constant)
                return CONVSPEC_INVALID;
            NAME(learn)(&running, c, &m);
            mean = m.mean;
            variance = m.squares / m.count;
        } else {
            mean = running_mean[c];
            variance = running_var[c];
        }
        NAME(standardize)(x + c * HW, set, mean, variance, p->eps, weight == NULL ? NULL : weight + c,
                          bias == NULL ? NULL : bias + c, 0, y + c * HW);
    }
    return CONVSPEC_OK;
}

int NAME(sync_batch_norm2d)(const struct sync_batch_norm2d *p, const REAL *x, const REAL *weight, const REAL *bias,
                            const REAL *running_mean, const REAL *running_var, REAL *y, REAL *new_running_mean,
                            REAL *new_running_var)
{
    int64_t shape[4];
    int status = sync_batch_norm2d_shape(p, shape);
    if (status)
        return status;
    const struct NAME(running) running = {
        running_mean, running_var, new_running_mean, new_running_var, p->c, p->momentum,
    };
    if ((weight == NULL) != (p->weight_c == -1) || (bias == NULL) != (p->bias_c == -1) ||
        !NAME(is_present)(&running, p->running_mean_c, p->running_var_c))
        return CONVSPEC_INVALID;
    if (p->n == 0 || p->h == 0 || p->w == 0) {
        NAME(keep)(&running);
        return CONVSPEC_OK;
    }

    const int64_t HW = p->h * p->w;
    for (int64_t c = 0; c < p->c; c++) {
        struct moments m = {0};
        for (int64_t d = 0, n = 0; d < p->devices; n += p->shards[d++])
            if (p->shards[d] > 0)
                m = combined(m, NAME(moments)(x + (n * p->c + c) * HW, channel_of(p->shards[d], p->c, HW)));
        if (p->eps == 0 && m.constant)
            return CONVSPEC_INVALID;
        NAME(learn)(&running, c, &m);
        NAME(standardize)(x + c * HW, channel_of(p->n, p->c, HW), m.mean, m.squares / m.count, p->eps,
                          weight == NULL ? NULL : weight + c, bias == NULL ? NULL : bias + c, 0, y + c * HW);
    }
    return CONVSPEC_OK;
}
