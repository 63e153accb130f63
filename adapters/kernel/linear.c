/*
linear.c: the fully connected layer. Included by kernel_f32.c and kernel_f64.c; see there for REAL and NAME.

Each output is a dot product of two rows. Not blocked over outputs: it is bound by memory for one image, and slower
than a matrix product for many.
*/

int NAME(linear)(const struct linear *p, const REAL *x, const REAL *weight, const REAL *bias, REAL *y)
{
    int64_t shape[2];
    int status = linear_shape(p, shape);
    if (status)
        return status;
    if ((bias == NULL) != (p->bias_o == -1))
        return CONVSPEC_INVALID;
    const int64_t F = p->f, O = p->o;
    for (int64_t n = 0; n < p->n; n++) {
        for (int64_t o = 0; o < O; o++) {
            const REAL sum = NAME(dot)(x + n * F, weight + o * F, F);
            y[n * O + o] = bias == NULL ? sum : sum + bias[o];
        }
    }
    return CONVSPEC_OK;
}
