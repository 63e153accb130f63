/*
shape_normalize.c: the operations that subtract a mean and divide by a deviation. Included by shape.c.

What the data decide is left to the kernels: eps may be 0 only where every variance is positive, and a running variance
is not negative.
*/

/* The lengths of weight and bias against the number of elements that each has to have; eps, which may be NaN */
static int affine_is_valid(int64_t count, int64_t weight, int64_t bias, double eps)
{
    return absent_or(weight, count) && absent_or(bias, count) && eps >= 0;
}

/* x (N,C,H,W) with one weight and one bias for each channel: y is as large */
static int images_shape(const int64_t sizes[4], int64_t groups, int64_t weight_c, int64_t bias_c, double eps,
                        int64_t shape[4])
{
    int status = sizes_are_valid(sizes, 4);
    if (status)
        return status;
    if (groups < 1 || sizes[1] % groups != 0 || !affine_is_valid(sizes[1], weight_c, bias_c, eps))
        return CONVSPEC_INVALID;
    for (int a = 0; a < 4; a++)
        shape[a] = sizes[a];
    return CONVSPEC_OK;
}

int layer_norm_shape(const struct layer_norm *p, int64_t shape[2])
{
    const int64_t sizes[2] = {p->sets, p->elements};
    int status = sizes_are_valid(sizes, 2);
    if (status)
        return status;
    if (!affine_is_valid(p->elements, p->weight_elements, p->bias_elements, p->eps))
        return CONVSPEC_INVALID;
    shape[0] = p->sets;
    shape[1] = p->elements;
    return CONVSPEC_OK;
}

int group_norm_shape(const struct group_norm *p, int64_t shape[4])
{
    const int64_t sizes[4] = {p->n, p->c, p->h, p->w};
    return images_shape(sizes, p->groups, p->weight_c, p->bias_c, p->eps, shape);
}

int pixel_group_norm_shape(const struct pixel_group_norm *p, int64_t shape[4])
{
    const int64_t sizes[4] = {p->n, p->c, p->h, p->w};
    return images_shape(sizes, p->groups, p->weight_c, p->bias_c, p->eps, shape);
}

int instance_norm2d_shape(const struct instance_norm2d *p, int64_t shape[4])
{
    const int64_t sizes[4] = {p->n, p->c, p->h, p->w};
    return images_shape(sizes, 1, p->weight_c, p->bias_c, p->eps, shape);
}

/* Running statistics come together, one for each channel. */
static int running_is_valid(int64_t c, int64_t running_mean_c, int64_t running_var_c, double momentum)
{
    return absent_or(running_mean_c, c) && running_mean_c == running_var_c && momentum >= 0 && momentum <= 1;
}

/* One value for each channel in all has no unbiased variance. */
static int one_value(const int64_t sizes[4])
{
    return sizes[0] == 1 && sizes[2] == 1 && sizes[3] == 1;
}

int batch_norm2d_shape(const struct batch_norm2d *p, int64_t shape[4])
{
    const int64_t sizes[4] = {p->n, p->c, p->h, p->w};
    int status = images_shape(sizes, 1, p->weight_c, p->bias_c, p->eps, shape);
    if (status)
        return status;
    if (!running_is_valid(p->c, p->running_mean_c, p->running_var_c, p->momentum) || !is_flag(p->training))
        return CONVSPEC_INVALID;
    if (p->training ? one_value(sizes) : p->running_mean_c == -1)
        return CONVSPEC_INVALID;
    return CONVSPEC_OK;
}

int sync_batch_norm2d_shape(const struct sync_batch_norm2d *p, int64_t shape[4])
{
    const int64_t sizes[4] = {p->n, p->c, p->h, p->w};
    int status = images_shape(sizes, 1, p->weight_c, p->bias_c, p->eps, shape);
    if (status)
        return status;
    if (!running_is_valid(p->c, p->running_mean_c, p->running_var_c, p->momentum) || one_value(sizes))
        return CONVSPEC_INVALID;
    if (p->devices < 1)
        return CONVSPEC_INVALID;
    int64_t left = p->n; /* images that are on none of the devices so far */
    for (int64_t d = 0; d < p->devices; d++) {
        if (p->shards[d] < 0 || p->shards[d] > left)
            return CONVSPEC_INVALID;
        left -= p->shards[d];
    }
    return left == 0 ? CONVSPEC_OK : CONVSPEC_INVALID;
}
