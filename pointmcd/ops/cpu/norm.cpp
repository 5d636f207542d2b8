// Batch norm and leaky ReLU over rows (R, C): sums in double, and what is done to each element.
#include "common.h"

namespace {

// Rows are cut into chunks of a size that depends on C alone; chunk sums are added in order.
int64_t chunk_rows(int64_t channels) { return std::max<int64_t>(16, (1 << 17) / std::max<int64_t>(channels, 1)); }

// out (2, C) = sum over rows of pair(r, c, &a, &b).
template <class F> void sum_pairs(double* out, int64_t rows, int64_t channels, int64_t threads, F pair) {
    const int64_t step = chunk_rows(channels), chunks = (rows + step - 1) / step;
    std::vector<double> partial(chunks * 2 * channels, 0.0);
    parallel_for(chunks, threads, [&](int64_t chunk) {
        double* __restrict a = partial.data() + chunk * 2 * channels;
        double* __restrict b = a + channels;
        const int64_t end = std::min(rows, (chunk + 1) * step);
        int64_t r = chunk * step;
        for (; r + 4 <= end; r += 4) {
#pragma GCC ivdep
            for (int64_t c = 0; c < channels; ++c) {
                double x = a[c], y = b[c];
                pair(r, c, x, y);
                pair(r + 1, c, x, y);
                pair(r + 2, c, x, y);
                pair(r + 3, c, x, y);
                a[c] = x;
                b[c] = y;
            }
        }
        for (; r < end; ++r) {
#pragma GCC ivdep
            for (int64_t c = 0; c < channels; ++c) pair(r, c, a[c], b[c]);
        }
    });
    std::fill(out, out + 2 * channels, 0.0);
    for (int64_t chunk = 0; chunk < chunks; ++chunk)
        for (int64_t c = 0; c < 2 * channels; ++c) out[c] += partial[chunk * 2 * channels + c];
}

template <class F> void each_row(int64_t rows, int64_t channels, int64_t threads, F row) {
    const int64_t step = chunk_rows(channels);
    parallel_for((rows + step - 1) / step, threads, [&](int64_t chunk) {
        const int64_t end = std::min(rows, (chunk + 1) * step);
        for (int64_t r = chunk * step; r < end; ++r) row(r);
    });
}

template <class T> inline T through_act(T grad, T x, T scale, T shift, T negative_slope) {
    return fused(x, scale, shift) > 0 ? grad : grad * negative_slope;
}

template <class T> void channel_sums(const T* x, double* out, int64_t rows, int64_t channels, int64_t threads) {
    sum_pairs(out, rows, channels, threads, [=](int64_t r, int64_t c, double& a, double& b) {
        const double v = x[r * channels + c];
        a += v;
        b += v * v;
    });
}

template <class T>
void affine_act(const T* x, const T* scale, const T* shift, T* y, double negative_slope, int64_t rows,
                int64_t channels, int64_t threads) {
    const T slope = static_cast<T>(negative_slope);
    each_row(rows, channels, threads, [=](int64_t r) {
        const T* in = x + r * channels;
        T* __restrict out = y + r * channels;
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c) {
            const T v = fused(in[c], scale[c], shift[c]);
            out[c] = v > 0 ? v : v * slope;
        }
    });
}

template <class T>
void affine_act_sums(const T* grad, const T* x, const T* scale, const T* shift, double* out, double negative_slope,
                     int64_t rows, int64_t channels, int64_t threads) {
    const T slope = static_cast<T>(negative_slope);
    sum_pairs(out, rows, channels, threads, [=](int64_t r, int64_t c, double& a, double& b) {
        const T v = x[r * channels + c];
        const double g = through_act(grad[r * channels + c], v, scale[c], shift[c], slope);
        a += g;
        b += g * static_cast<double>(v);
    });
}

// dx may be grad.
template <class T>
void affine_act_backward(const T* grad, const T* x, const T* scale, const T* shift, const T* slope, const T* offset,
                         T* dx, double negative_slope, int64_t rows, int64_t channels, int64_t threads) {
    const T act_slope = static_cast<T>(negative_slope);
    each_row(rows, channels, threads, [=](int64_t r) {
        const T *in = x + r * channels, *g = grad + r * channels;
        T* out = dx + r * channels;
#pragma GCC ivdep
        for (int64_t c = 0; c < channels; ++c)
            out[c] = through_act(g[c], in[c], scale[c], shift[c], act_slope) * scale[c] + fused(in[c], slope[c], offset[c]);
    });
}

}  // namespace

EXPORT(channel_sums)
EXPORT(affine_act)
EXPORT(affine_act_sums)
EXPORT(affine_act_backward)
