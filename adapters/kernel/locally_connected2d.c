/*
locally_connected2d.c: windows as in a convolution, with filters for each of them. Included by kernel_f32.c and
kernel_f64.c; see there for REAL and NAME.

The filters of a unit lie together, c, r, s in a row. So what the unit sees of an image is copied into such a row too,
and every output is a dot product of two rows. No filter is used twice but for the images of a batch: it is bound by
memory.
*/

/* What the window with the corner (top, left) sees of an image: patch[c,r,s], 0 outside */
static void NAME(window)(const struct locally_connected2d *p, const REAL *image, int64_t top, int64_t left, REAL *patch)
{
    for (int64_t c = 0; c < p->c; c++)
        for (int64_t r = 0; r < p->r; r++, patch += p->s) {
            const int64_t h = top + r;
            const int outside = h < 0 || h >= p->h;
            const REAL *row = outside ? NULL : image + (c * p->h + h) * p->w;
            for (int64_t s = 0; s < p->s; s++) {
                const int64_t w = left + s;
                patch[s] = outside || w < 0 || w >= p->w ? 0 : row[w];
            }
        }
}

int NAME(locally_connected2d)(const struct locally_connected2d *p, const REAL *x, const REAL *weight, const REAL *bias,
                              REAL *y)
{
    int64_t shape[4];
    int status = locally_connected2d_shape(p, shape);
    if (status)
        return status;
    if ((bias == NULL) != (p->bias_k == -1))
        return CONVSPEC_INVALID;
    if (p->n == 0 || p->k == 0)
        return CONVSPEC_OK;
    const int64_t K = p->k, I = shape[2], J = shape[3];
    const int64_t taps = p->c > 0 ? p->c * p->r * p->s : 0; /* without channels nothing says that r*s is small */
    REAL *patch = NAME(scratch)(taps, sizeof(REAL));
    if (patch == NULL)
        return CONVSPEC_NO_MEMORY;
    for (int64_t i = 0; i < I; i++)
        for (int64_t j = 0; j < J; j++) {
            const REAL *filters = weight + (i * J + j) * K * taps;
            for (int64_t n = 0; n < p->n; n++) {
                NAME(window)(p, x + n * p->c * p->h * p->w, i * p->stride[0] - p->padding[0][0],
                             j * p->stride[1] - p->padding[1][0], patch);
                for (int64_t k = 0; k < K; k++) {
                    const REAL sum = NAME(dot)(patch, filters + k * taps, taps);
                    y[((n * K + k) * I + i) * J + j] = bias == NULL ? sum : sum + bias[(k * I + i) * J + j];
                }
            }
        }
    free(patch);
    return CONVSPEC_OK;
}
