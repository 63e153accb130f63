/*
shape_window.c: the operations that move a window over an image. Included by shape.c.
*/

/* One axis: `taps` taps, `dilation` apart, moved by `stride` along `length` elements with padding on both sides. */
struct axis {
    int64_t length, taps, stride, dilation, before, after;
};

/* Are the parameters in range, and does the dilated window fit the padded axis? */
static int axis_is_valid(const struct axis *a)
{
    if (a->length < 0 || a->taps < 1 || a->stride < 1 || a->dilation < 1 || a->before < 0 || a->after < 0)
        return CONVSPEC_INVALID;
    if (a->length > LIMIT || a->before > LIMIT || a->after > LIMIT)
        return CONVSPEC_UNSUPPORTED;
    /* dilation * (taps - 1) + 1 <= padded, with the product on the other side */
    int64_t padded = a->length + a->before + a->after;
    if (padded < 1 || (a->taps > 1 && a->dilation > (padded - 1) / (a->taps - 1)))
        return CONVSPEC_INVALID;
    return CONVSPEC_OK;
}

/* floor((length + before + after - span) / stride) + 1. With `ceil` the division is rounded up; then a last window that
   starts behind the input and the padding before it is dropped. */
static int64_t windows(const struct axis *a, int64_t ceil)
{
    int64_t room = a->length + a->before + a->after - (a->dilation * (a->taps - 1) + 1);
    int64_t steps = room / a->stride + (ceil && room % a->stride != 0);
    if (ceil && steps * a->stride >= a->length + a->before)
        steps--;
    return steps + 1;
}

/* Does window number `o` have a tap in [0, length)? */
static int holds_input(const struct axis *a, int64_t o)
{
    int64_t first = o * a->stride - a->before;
    int64_t tap = first < 0 ? (-first - 1) / a->dilation + 1 : 0; /* the first one at 0 or later */
    return tap < a->taps && first + tap * a->dilation < a->length;
}

/* Where the holes of a dilated window are no longer than the input, no window between the first and the last can step
   over it: the two ends decide. */
static int all_hold_input(const struct axis *a, int64_t count)
{
    if (!holds_input(a, 0) || !holds_input(a, count - 1))
        return 0;
    if (a->length < a->dilation)
        for (int64_t o = 1; o < count - 1; o++)
            if (!holds_input(a, o))
                return 0;
    return 1;
}

int conv2d_shape(const struct conv2d *p, int64_t shape[4])
{
    const int64_t sizes[8] = {p->n, p->c, p->h, p->w, p->k, p->weight_c, p->r, p->s};
    int status = sizes_are_valid(sizes, 8);
    if (status)
        return status;
    if (p->groups < 1 || p->c % p->groups != 0 || p->k % p->groups != 0 || p->weight_c != p->c / p->groups)
        return CONVSPEC_INVALID;
    if (!absent_or(p->bias_k, p->k))
        return CONVSPEC_INVALID;
    for (int a = 0; a < 2; a++) {
        int64_t length = a == 0 ? p->h : p->w;
        int64_t taps = a == 0 ? p->r : p->s;
        struct axis axis = {length, taps, p->stride[a], p->dilation[a], p->padding[a][0], p->padding[a][1]};
        status = axis_is_valid(&axis);
        if (status)
            return status;
        if (!mode_is_valid(p->padding_mode, length, p->padding[a]))
            return CONVSPEC_INVALID;
        shape[2 + a] = windows(&axis, 0);
    }
    shape[0] = p->n;
    shape[1] = p->k;
    return CONVSPEC_OK;
}

int locally_connected2d_shape(const struct locally_connected2d *p, int64_t shape[4])
{
    const int64_t sizes[10] = {
        p->n, p->c, p->h, p->w, p->weight_i, p->weight_j, p->k, p->weight_c, p->r, p->s,
    };
    int status = sizes_are_valid(sizes, 10);
    if (status)
        return status;
    if (p->weight_c != p->c)
        return CONVSPEC_INVALID;
    for (int a = 0; a < 2; a++) {
        int64_t length = a == 0 ? p->h : p->w;
        int64_t taps = a == 0 ? p->r : p->s;
        struct axis axis = {length, taps, p->stride[a], 1, p->padding[a][0], p->padding[a][1]};
        status = axis_is_valid(&axis);
        if (status)
            return status;
        shape[2 + a] = windows(&axis, 0);
    }
    /* every unit has filters, and a bias, of its own */
    if (p->weight_i != shape[2] || p->weight_j != shape[3])
        return CONVSPEC_INVALID;
    if (!absent_or(p->bias_k, p->k) || !absent_or(p->bias_i, shape[2]) || !absent_or(p->bias_j, shape[3]))
        return CONVSPEC_INVALID;
    if ((p->bias_k == -1) != (p->bias_i == -1) || (p->bias_k == -1) != (p->bias_j == -1))
        return CONVSPEC_INVALID;
    shape[0] = p->n;
    shape[1] = p->k;
    return CONVSPEC_OK;
}

static int pool_shape(const int64_t sizes[4], const struct axis axes[2], int64_t ceil_mode, int64_t shape[4])
{
    int status = sizes_are_valid(sizes, 4);
    if (status)
        return status;
    if (!is_flag(ceil_mode))
        return CONVSPEC_INVALID;
    for (int a = 0; a < 2; a++) {
        status = axis_is_valid(&axes[a]);
        if (status)
            return status;
        shape[2 + a] = windows(&axes[a], ceil_mode);
        if (!all_hold_input(&axes[a], shape[2 + a]))
            return CONVSPEC_INVALID;
    }
    shape[0] = sizes[0];
    shape[1] = sizes[1];
    return CONVSPEC_OK;
}

int max_pool2d_shape(const struct max_pool2d *p, int64_t shape[4])
{
    const int64_t sizes[4] = {p->n, p->c, p->h, p->w};
    const struct axis axes[2] = {
        {p->h, p->kernel_size[0], p->stride[0], p->dilation[0], p->padding[0][0], p->padding[0][1]},
        {p->w, p->kernel_size[1], p->stride[1], p->dilation[1], p->padding[1][0], p->padding[1][1]},
    };
    return pool_shape(sizes, axes, p->ceil_mode, shape);
}

int avg_pool2d_shape(const struct avg_pool2d *p, int64_t shape[4])
{
    const int64_t sizes[4] = {p->n, p->c, p->h, p->w};
    const struct axis axes[2] = {
        {p->h, p->kernel_size[0], p->stride[0], 1, p->padding[0][0], p->padding[0][1]},
        {p->w, p->kernel_size[1], p->stride[1], 1, p->padding[1][0], p->padding[1][1]},
    };
    if (!is_flag(p->count_include_pad))
        return CONVSPEC_INVALID;
    return pool_shape(sizes, axes, p->ceil_mode, shape);
}
