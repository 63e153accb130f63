/*
relu.c: the rectifier. Included by kernel_f32.c and kernel_f64.c; see there for REAL and NAME.
*/

int NAME(relu)(const struct relu *p, const REAL *x, REAL *y)
{
    int64_t shape[1];
    int status = relu_shape(p, shape);
    if (status)
        return status;
    /* NaN fails every comparison, so ask for what becomes 0: NaN passes through, and so does every x > 0 */
    for (int64_t e = 0; e < p->elements; e++)
        y[e] = x[e] <= 0 ? 0 : x[e];
    return CONVSPEC_OK;
}
