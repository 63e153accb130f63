/*
backward_norm.c: the gradients of layer, group and batch normalization. Included by kernel_f32.c and kernel_f64.c; see
there for REAL and NAME.

Sets and their moments are those of normalize.c, in double; each gradient of x is rounded once, those of weight and bias
once for each run of elements that share one.
*/

/* What comes back through one set. Run b has the weight and the gradients of weight and bias at b * affine_step; each
   may be NULL. With h = grad_output * weight and xh = (x - mean) / root,
       grad_x = (h - mean of h - xh * mean of h * xh) / root,
   or h / root where mean and root are given and do not depend on x. */
struct NAME(gradients) {
    const REAL *weight;
    int64_t affine_step;
    REAL *weights, *biases;
};

static void NAME(pull_back)(const REAL *x, const REAL *grad, struct set set, double mean, double root, int is_given,
                            struct NAME(gradients) to, REAL *grad_x)
{
    const double count = (double)set.blocks * (double)set.length;
    double mean_h = 0, along = 0;
    for (int64_t b = 0; b < set.blocks && !is_given; b++) {
        const double weight = to.weight == NULL ? 1 : to.weight[b * to.affine_step];
        for (int64_t e = b * set.step; e < b * set.step + set.length; e++) {
            const double h = grad[e] * weight;
            mean_h += h;
            along += h * ((x[e] - mean) / root);
        }
    }
    mean_h /= count;
    along /= count;
    for (int64_t b = 0; b < set.blocks; b++) {
        const double weight = to.weight == NULL ? 1 : to.weight[b * to.affine_step];
        double weights = 0, biases = 0;
        for (int64_t e = b * set.step; e < b * set.step + set.length; e++) {
            const double xh = (x[e] - mean) / root, h = grad[e] * weight;
            grad_x[e] = (REAL)((is_given ? h : h - mean_h - xh * along) / root);
            weights += grad[e] * xh;
            biases += grad[e];
        }
        if (to.weights != NULL)
            to.weights[b * to.affine_step] = (REAL)(to.weights[b * to.affine_step] + weights);
        if (to.biases != NULL)
            to.biases[b * to.affine_step] = (REAL)(to.biases[b * to.affine_step] + biases);
    }
}

/* The same of a set of at least one element with the statistics that it has */
static int NAME(pull_back_set)(const REAL *x, const REAL *grad, struct set set, double eps, struct NAME(gradients) to,
                               REAL *grad_x)
{
    const struct moments m = NAME(moments)(x, set);
    if (eps == 0 && m.constant)
        return CONVSPEC_INVALID;
    NAME(pull_back)(x, grad, set, m.mean, sqrt(m.squares / m.count + eps), 0, to, grad_x);
    return CONVSPEC_OK;
}

/* Are weight and bias, and with them their gradients, there as their lengths, -1 for none, say? */
static int NAME(are_present)(const REAL *weight, const REAL *bias, struct NAME(gradients) to, int64_t weights,
                             int64_t biases)
{
    return (weight == NULL) == (weights == -1) && (bias == NULL) == (biases == -1) &&
           (to.weights == NULL) == (weights == -1) && (to.biases == NULL) == (biases == -1);
}

/* The gradients from channel `first` on */
static struct NAME(gradients) NAME(from)(struct NAME(gradients) to, int64_t first)
{
    const struct NAME(gradients) here = {
        to.weight == NULL ? NULL : to.weight + first,
        to.affine_step,
        to.weights == NULL ? NULL : to.weights + first,
        to.biases == NULL ? NULL : to.biases + first,
    };
    return here;
}

int NAME(layer_norm_backward)(const struct layer_norm_backward *p, const REAL *x, const REAL *weight, const REAL *bias,
                              const REAL *grad_output, REAL *grad_x, REAL *grad_weight, REAL *grad_bias)
{
    const struct layer_norm *f = &p->forward;
    int64_t shape[2];
    int status = layer_norm_backward_shape(p, shape);
    if (status)
        return status;
    const struct NAME(gradients) to = {weight, 1, grad_weight, grad_bias};
    if (!NAME(are_present)(weight, bias, to, f->weight_elements, f->bias_elements))
        return CONVSPEC_INVALID;
    NAME(clear)(grad_weight, f->elements);
    NAME(clear)(grad_bias, f->elements);
    if (f->elements == 0)
        return CONVSPEC_OK;
    const struct set set = {f->elements, 1, 1};
    for (int64_t s = 0; s < f->sets && status == CONVSPEC_OK; s++) {
        const int64_t at = s * f->elements;
        status = NAME(pull_back_set)(x + at, grad_output + at, set, f->eps, to, grad_x + at);
    }
    return status;
}

int NAME(group_norm_backward)(const struct group_norm_backward *p, const REAL *x, const REAL *weight, const REAL *bias,
                              const REAL *grad_output, REAL *grad_x, REAL *grad_weight, REAL *grad_bias)
{
    const struct group_norm *f = &p->forward;
    int64_t shape[4];
    int status = group_norm_backward_shape(p, shape);
    if (status)
        return status;
    const struct NAME(gradients) to = {weight, 1, grad_weight, grad_bias};
    if (!NAME(are_present)(weight, bias, to, f->weight_c, f->bias_c))
        return CONVSPEC_INVALID;
    NAME(clear)(grad_weight, f->c);
    NAME(clear)(grad_bias, f->c);
    if (NAME(count)(shape, 4) == 0)
        return CONVSPEC_OK;
    const int64_t HW = f->h * f->w, channels = f->c / f->groups;
    const struct set set = {channels, HW, HW};
    for (int64_t n = 0; n < f->n; n++)
        for (int64_t g = 0; g < f->groups && status == CONVSPEC_OK; g++) {
            const int64_t at = (n * f->c + g * channels) * HW;
            status = NAME(pull_back_set)(x + at, grad_output + at, set, f->eps, NAME(from)(to, g * channels),
                                         grad_x + at);
        }
    return status;
}

int NAME(batch_norm2d_backward)(const struct batch_norm2d_backward *p, const REAL *x, const REAL *weight,
                                const REAL *bias, const REAL *running_mean, const REAL *running_var,
                                const REAL *grad_output, REAL *grad_x, REAL *grad_weight, REAL *grad_bias)
{
    const struct batch_norm2d *f = &p->forward;
    int64_t shape[4];
    int status = batch_norm2d_backward_shape(p, shape);
    if (status)
        return status;
    const struct NAME(gradients) to = {weight, 0, grad_weight, grad_bias};
    if (!NAME(are_present)(weight, bias, to, f->weight_c, f->bias_c) ||
        (running_mean == NULL) != (f->running_mean_c == -1) || (running_var == NULL) != (f->running_var_c == -1))
        return CONVSPEC_INVALID;
    NAME(clear)(grad_weight, f->c);
    NAME(clear)(grad_bias, f->c);
    if (!f->training)
        for (int64_t c = 0; c < f->c; c++)
            if (running_var[c] < 0 || (running_var[c] == 0 && f->eps == 0))
                return CONVSPEC_INVALID;
    if (NAME(count)(shape, 4) == 0)
        return CONVSPEC_OK;
    const int64_t HW = f->h * f->w;
    const struct set set = channel_of(f->n, f->c, HW);
    for (int64_t c = 0; c < f->c && status == CONVSPEC_OK; c++) {
        const int64_t at = c * HW;
        if (f->training)
            status = NAME(pull_back_set)(x + at, grad_output + at, set, f->eps, NAME(from)(to, c), grad_x + at);
        else
            NAME(pull_back)(x + at, grad_output + at, set, running_mean[c], sqrt(running_var[c] + f->eps), 1,
                            NAME(from)(to, c), grad_x + at);
    }
    return status;
}
