/*
linear.c: the fully connected layer. Included by kernel_f32.c and kernel_f64.c; see there for REAL and NAME.

Each output is a dot product of two rows. Not blocked over outputs: it is bound by memory for one image, and slower
than a matrix product for many.
*/

enum { LANES = 16 }; /* independent partial sums: without them the additions wait for one another */

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
            const REAL *in = x + n * F, *filter = weight + o * F;
            REAL lane[LANES] = {0};
            int64_t f = 0;
            for (; f + LANES <= F; f += LANES)
                for (int l = 0; l < LANES; l++)
                    lane[l] += in[f + l] * filter[f + l];
            REAL sum = 0;
            for (; f < F; f++)
                sum += in[f] * filter[f];
            for (int l = 0; l < LANES; l++)
                sum += lane[l];
            y[n * O + o] = bias == NULL ? sum : sum + bias[o];
        }
    }
    return CONVSPEC_OK;
}
