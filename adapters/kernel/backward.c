/*
backward.c: the gradients of convolution, linear layer, rectifier and pooling. Included by kernel_f32.c and
kernel_f64.c; see there for REAL and NAME.

Plain loops over the outputs of the forward operation: each gives its share to what it was made of. Nothing is blocked.
*/

/* How many elements an array has. No product of other lengths where one is 0: they may be anything. */
static int64_t NAME(count)(const int64_t *lengths, int axes)
{
    int64_t all = 1;
    for (int a = 0; a < axes; a++)
        if (lengths[a] == 0)
            return 0;
    for (int a = 0; a < axes; a++)
        all *= lengths[a];
    return all;
}

static void NAME(clear)(REAL *array, int64_t elements)
{
    if (array != NULL && elements > 0)
        memset(array, 0, (size_t)elements * sizeof(REAL));
}

/* What one output of a convolution, whose gradient is g, gives the taps of its window in one channel. Padding is 0, and
   takes nothing; but 0 times a gradient that is no number is no number. */
static void NAME(share)(const struct conv2d *p, const int64_t *row, const int64_t *column, REAL g, const REAL *x,
                        const REAL *weight, REAL *grad_x, REAL *grad_weight)
{
    for (int64_t r = 0; r < p->r; r++) {
        const int64_t h = row[r * p->dilation[0]];
        for (int64_t s = 0; s < p->s; s++) {
            const int64_t w = column[s * p->dilation[1]], at = h * p->w + w, tap = r * p->s + s;
            const int is_padding = h < 0 || w < 0;
            grad_weight[tap] += g * (is_padding ? 0 : x[at]);
            if (!is_padding)
                grad_x[at] += g * weight[tap];
        }
    }
}

int NAME(conv2d_backward)(const struct conv2d_backward *p, const REAL *x, const REAL *weight, const REAL *bias,
                          const REAL *grad_output, REAL *grad_x, REAL *grad_weight, REAL *grad_bias)
{
    const struct conv2d *f = &p->forward;
    int64_t shape[4];
    int status = conv2d_backward_shape(p, shape);
    if (status)
        return status;
    if ((bias == NULL) != (f->bias_k == -1) || (grad_bias == NULL) != (f->bias_k == -1))
        return CONVSPEC_INVALID;
    const int64_t filters[4] = {f->k, f->weight_c, f->r, f->s};
    NAME(clear)(grad_x, NAME(count)(shape, 4));
    NAME(clear)(grad_weight, NAME(count)(filters, 4));
    NAME(clear)(grad_bias, f->k);
    if (f->n == 0 || f->k == 0)
        return CONVSPEC_OK;

    const int64_t I = p->grad_i, J = p->grad_j;
    const int64_t C = f->weight_c, K = f->k / f->groups, HW = f->c > 0 ? f->h * f->w : 0, RS = f->r * f->s;
    int64_t *row = NAME(scratch)(f->h + f->padding[0][0] + f->padding[0][1], sizeof(int64_t));
    int64_t *column = NAME(scratch)(f->w + f->padding[1][0] + f->padding[1][1], sizeof(int64_t));
    status = row && column ? CONVSPEC_OK : CONVSPEC_NO_MEMORY;
    if (status == CONVSPEC_OK) {
        NAME(sources)(row, f->h, f->padding[0], f->padding_mode);
        NAME(sources)(column, f->w, f->padding[1], f->padding_mode);
        for (int64_t n = 0; n < f->n; n++)
            for (int64_t k = 0; k < f->k; k++)
                for (int64_t i = 0; i < I; i++)
                    for (int64_t j = 0; j < J; j++) {
                        const REAL g = *grad_output++;
                        if (grad_bias != NULL)
                            grad_bias[k] += g;
                        const int64_t channel = (n * f->groups + k / K) * C; /* the first of the group */
                        for (int64_t c = 0; c < C; c++)
                            NAME(share)(f, row + i * f->stride[0], column + j * f->stride[1], g, x + (channel + c) * HW,
                                        weight + (k * C + c) * RS, grad_x + (channel + c) * HW,
                                        grad_weight + (k * C + c) * RS);
                    }
    }
    free(row);
    free(column);
    return status;
}

int NAME(linear_backward)(const struct linear_backward *p, const REAL *x, const REAL *weight, const REAL *bias,
                          const REAL *grad_output, REAL *grad_x, REAL *grad_weight, REAL *grad_bias)
{
    int64_t shape[2];
    int status = linear_backward_shape(p, shape);
    if (status)
        return status;
    const int64_t N = p->forward.n, F = p->forward.f, O = p->forward.o;
    if ((bias == NULL) != (p->forward.bias_o == -1) || (grad_bias == NULL) != (p->forward.bias_o == -1))
        return CONVSPEC_INVALID;
    const int64_t rows[2] = {O, F};
    NAME(clear)(grad_x, NAME(count)(shape, 2));
    NAME(clear)(grad_weight, NAME(count)(rows, 2));
    NAME(clear)(grad_bias, O);
    for (int64_t n = 0; n < N; n++)
        for (int64_t o = 0; o < O; o++) {
            const REAL g = grad_output[n * O + o];
            if (grad_bias != NULL)
                grad_bias[o] += g;
            for (int64_t f = 0; f < F; f++) {
                grad_x[n * F + f] += g * weight[o * F + f];
                grad_weight[o * F + f] += g * x[n * F + f];
            }
        }
    return CONVSPEC_OK;
}

int NAME(relu_backward)(const struct relu_backward *p, const REAL *x, const REAL *grad_output, REAL *grad_x)
{
    int64_t shape[1];
    int status = relu_backward_shape(p, shape);
    if (status)
        return status;
    for (int64_t e = 0; e < shape[0]; e++)
        grad_x[e] = x[e] > 0 ? grad_output[e] : 0;
    return CONVSPEC_OK;
}

/* All to the first of equal taps, in the order of rows and columns */
int NAME(max_pool2d_backward)(const struct max_pool2d_backward *p, const REAL *x, const REAL *grad_output, REAL *grad_x)
{
    const struct max_pool2d *f = &p->forward;
    int64_t shape[4];
    int status = max_pool2d_backward_shape(p, shape);
    if (status)
        return status;
    NAME(clear)(grad_x, NAME(count)(shape, 4));
    const int64_t I = p->grad_i, J = p->grad_j, dh = f->dilation[0], dw = f->dilation[1];
    for (int64_t nc = 0; nc < f->n * f->c; nc++) {
        const REAL *channel = x + nc * f->h * f->w;
        for (int64_t i = 0; i < I; i++) {
            int64_t r[2], top = i * f->stride[0] - f->padding[0][0];
            NAME(taps_in)(top, f->kernel_size[0], dh, 0, f->h, r);
            for (int64_t j = 0; j < J; j++) {
                int64_t s[2], left = j * f->stride[1] - f->padding[1][0];
                NAME(taps_in)(left, f->kernel_size[1], dw, 0, f->w, s);
                int64_t best = (top + r[0] * dh) * f->w + left + s[0] * dw;
                for (int64_t a = r[0]; a < r[1]; a++)
                    for (int64_t b = s[0]; b < s[1]; b++) {
                        const int64_t at = (top + a * dh) * f->w + left + b * dw;
                        if (channel[at] > channel[best])
                            best = at;
                    }
                grad_x[nc * f->h * f->w + best] += grad_output[(nc * I + i) * J + j];
            }
        }
    }
    return CONVSPEC_OK;
}

/* x is not looked at */
int NAME(avg_pool2d_backward)(const struct avg_pool2d_backward *p, const REAL *x, const REAL *grad_output, REAL *grad_x)
{
    const struct avg_pool2d *f = &p->forward;
    int64_t shape[4];
    int status = avg_pool2d_backward_shape(p, shape);
    if (status)
        return status;
    (void)x;
    NAME(clear)(grad_x, NAME(count)(shape, 4));
    const int64_t I = p->grad_i, J = p->grad_j;
    for (int64_t nc = 0; nc < f->n * f->c; nc++)
        for (int64_t i = 0; i < I; i++)
            for (int64_t j = 0; j < J; j++) {
                const int64_t top = i * f->stride[0] - f->padding[0][0], left = j * f->stride[1] - f->padding[1][0];
                int64_t r[2], s[2];
                NAME(taps_in)(top, f->kernel_size[0], 1, 0, f->h, r);
                NAME(taps_in)(left, f->kernel_size[1], 1, 0, f->w, s);
                const REAL share = grad_output[(nc * I + i) * J + j] / (REAL)NAME(divisor)(f, top, left);
                for (int64_t a = r[0]; a < r[1]; a++)
                    for (int64_t b = s[0]; b < s[1]; b++)
                        grad_x[(nc * f->h + top + a) * f->w + left + b] += share;
            }
    return CONVSPEC_OK;
}
