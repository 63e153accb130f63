/*
shape_backward.c: the gradients. Included by shape.c.

A backward problem is valid if its forward problem is and grad_output is as large as the output; what comes first is the
gradient of x, which is as large as x.
*/

static int are_equal(const int64_t *a, const int64_t *b, int count)
{
    for (int l = 0; l < count; l++)
        if (a[l] != b[l])
            return 0;
    return 1;
}

/* For a forward problem of this status and output: x against grad_output, `axes` lengths each */
static int backward_shape(int status, const int64_t *output, const int64_t *grad, const int64_t *x, int axes,
                          int64_t *shape)
{
    if (status)
        return status;
    if (!are_equal(output, grad, axes))
        return CONVSPEC_INVALID;
    for (int a = 0; a < axes; a++)
        shape[a] = x[a];
    return CONVSPEC_OK;
}

/* Of images: the first members of every forward struct are the lengths of x. */
#define IMAGES_BACKWARD(operation)                                                                                     \
    int operation##_backward_shape(const struct operation##_backward *p, int64_t shape[4])                             \
    {                                                                                                                  \
        int64_t output[4];                                                                                             \
        const int64_t x[4] = {p->forward.n, p->forward.c, p->forward.h, p->forward.w};                                 \
        const int64_t grad[4] = {p->grad_n, p->grad_c, p->grad_i, p->grad_j};                                          \
        return backward_shape(operation##_shape(&p->forward, output), output, grad, x, 4, shape);                      \
    }

IMAGES_BACKWARD(conv2d)
IMAGES_BACKWARD(max_pool2d)
IMAGES_BACKWARD(avg_pool2d)
IMAGES_BACKWARD(group_norm)
IMAGES_BACKWARD(batch_norm2d)

int relu_backward_shape(const struct relu_backward *p, int64_t shape[1])
{
    int64_t output[1];
    return backward_shape(relu_shape(&p->forward, output), output, &p->grad_elements, &p->forward.elements, 1, shape);
}

int linear_backward_shape(const struct linear_backward *p, int64_t shape[2])
{
    int64_t output[2];
    const int64_t x[2] = {p->forward.n, p->forward.f}, grad[2] = {p->grad_n, p->grad_o};
    return backward_shape(linear_shape(&p->forward, output), output, grad, x, 2, shape);
}

int layer_norm_backward_shape(const struct layer_norm_backward *p, int64_t shape[2])
{
    int64_t output[2];
    const int64_t x[2] = {p->forward.sets, p->forward.elements}, grad[2] = {p->grad_sets, p->grad_elements};
    return backward_shape(layer_norm_shape(&p->forward, output), output, grad, x, 2, shape);
}
