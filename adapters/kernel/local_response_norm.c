/*
local_response_norm.c: each element divided by a power of the squares of its neighbours among the channels. Included by
kernel_f32.c and kernel_f64.c; see there for REAL and NAME.

Every window is summed anew: a sum that slides would lose small squares behind a large one. Computed in double, rounded
once.
*/

int NAME(local_response_norm)(const struct local_response_norm *p, const REAL *x, REAL *y)
{
    int64_t shape[4];
    int status = local_response_norm_shape(p, shape);
    if (status)
        return status;
    const int64_t N = p->n, C = p->c;
    if (N == 0 || C == 0 || p->h == 0 || p->w == 0)
        return CONVSPEC_OK;
    const int64_t HW = p->h * p->w, before = (p->size - 1) / 2, after = p->size / 2;
    const double share = p->alpha / (double)p->size; /* by the size, also where the window is cut off */
    for (int64_t n = 0; n < N; n++)
        for (int64_t c = 0; c < C; c++) {
            const int64_t first = before < c ? c - before : 0;
            const int64_t last = after < C - 1 - c ? c + after : C - 1;
            for (int64_t pixel = 0; pixel < HW; pixel++) {
                const REAL *image = x + n * C * HW + pixel;
                double sum = 0;
                for (int64_t j = first; j <= last; j++) {
                    const double value = image[j * HW];
                    sum += value * value;
                }
                y[(n * C + c) * HW + pixel] = (REAL)(image[c * HW] * pow(p->k + share * sum, -p->beta));
            }
        }
    return CONVSPEC_OK;
}
