/*
pad2d.c: padding. Included by kernel_f32.c and kernel_f64.c; see there for REAL and NAME.

Rows and columns are padded alike and independently, so the corners follow: a table per axis says where each padded
position comes from. Values are copied, never computed with.
*/

/* Which of `length` elements the padded position q - before shows; -1 for none. The modes are limited to one
   reflection and one turn (shape.c), but the formulas do not rely on it. */
static int64_t NAME(source)(int64_t position, int64_t length, int64_t mode)
{
    if (position >= 0 && position < length)
        return position;
    if (mode == CONVSPEC_REPLICATE)
        return position < 0 ? 0 : length - 1;
    if (mode == CONVSPEC_CIRCULAR)
        return (position % length + length) % length;
    if (mode == CONVSPEC_REFLECT) {
        int64_t period = length > 1 ? 2 * (length - 1) : 1;
        int64_t at = (position % period + period) % period;
        return at < period - at ? at : period - at;
    }
    return -1;
}

/* table[q] for q in [0, before + length + after) */
static void NAME(sources)(int64_t *table, int64_t length, const int64_t sides[2], int64_t mode)
{
    for (int64_t q = 0; q < sides[0] + length + sides[1]; q++)
        table[q] = NAME(source)(q - sides[0], length, mode);
}

/* calloc(count, size), or NULL where the product overflows or does not fit; never NULL for 0 elements */
static void *NAME(scratch)(int64_t count, int64_t size)
{
    if (count > INT64_MAX / size || (uint64_t)count > SIZE_MAX / (uint64_t)size)
        return NULL;
    return calloc(count > 0 ? (size_t)count : 1, (size_t)size);
}

int NAME(pad2d)(const struct pad2d *p, const REAL *x, REAL *y)
{
    int64_t shape[4];
    int status = pad2d_shape(p, shape);
    if (status)
        return status;
    const int64_t I = shape[2], J = shape[3], left = p->padding[1][0];
    if (p->n == 0 || p->c == 0 || I == 0 || J == 0)
        return CONVSPEC_OK;

    int64_t *row = NAME(scratch)(I, sizeof *row);
    int64_t *column = NAME(scratch)(J, sizeof *column);
    if (row == NULL || column == NULL) {
        free(row);
        free(column);
        return CONVSPEC_NO_MEMORY;
    }
    NAME(sources)(row, p->h, p->padding[0], p->mode);
    NAME(sources)(column, p->w, p->padding[1], p->mode);

    for (int64_t nc = 0; nc < p->n * p->c; nc++) {
        for (int64_t i = 0; i < I; i++) {
            REAL *to = y + (nc * I + i) * J;
            if (row[i] < 0) {
                memset(to, 0, (size_t)J * sizeof(REAL)); /* all bits 0 is the number 0 */
                continue;
            }
            const REAL *from = x + (nc * p->h + row[i]) * p->w;
            for (int64_t j = 0; j < left; j++)
                to[j] = column[j] < 0 ? 0 : from[column[j]];
            memcpy(to + left, from, (size_t)p->w * sizeof(REAL));
            for (int64_t j = left + p->w; j < J; j++)
                to[j] = column[j] < 0 ? 0 : from[column[j]];
        }
    }
    free(row);
    free(column);
    return CONVSPEC_OK;
}
