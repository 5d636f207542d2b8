// Gradients of a depthwise convolution of images (B, H, W, C). Some channels of an image at a time, with zeros around and
// between them, so that the inner loops know no borders and no strides.
#include "bfloat16.h"
#include "simd.h"

namespace {

constexpr int64_t GROUPS = 16;  // of images, whose sums are added up in order
constexpr int64_t SUMMED = 256;  // outputs that are added up in single precision

struct Size {
    int64_t height, width;
};

// x (height, width, channels), n channels of it, to places (y * step.height + first.height, ...) of a zeroed to.
template <class S>
void spread(const S* x, Size size, int64_t channels, int64_t n, Size step, Size first, Real<S>* to, Size room) {
    constexpr int L = LANES<Real<S>>;
    std::fill(to, to + room.height * room.width * L, Real<S>(0));
    for (int64_t y = 0; y < size.height; ++y) {
        const int64_t at_y = y * step.height + first.height;
        if (at_y < 0 || at_y >= room.height) continue;
        for (int64_t c = 0; c < size.width; ++c) {
            const int64_t at_x = c * step.width + first.width;
            if (at_x < 0 || at_x >= room.width) continue;
            store(to + (at_y * room.width + at_x) * L, load_values(x + (y * size.width + c) * channels, n));
        }
    }
}

// sum (K * K * L) += of each tap, the sum over all outputs of gradient times input.
template <int K, class S>
void weight_gradient(const S* grad, Size out, int64_t channels, int64_t n, const Real<S>* x, Size room, Size stride,
                     double* sum) {
    constexpr int L = LANES<Real<S>>;
    Vec<Real<S>> tap[K * K] = {};
    int64_t summed = 0;
    for (int64_t y = 0; y < out.height; ++y) {
        for (int64_t c = 0; c < out.width; ++c) {
            const Vec<Real<S>> g = load_values(grad + (y * out.width + c) * channels, n);
            const Real<S>* from = x + (y * stride.height * room.width + c * stride.width) * L;
#pragma GCC unroll 5
            for (int i = 0; i < K; ++i)
#pragma GCC unroll 5
                for (int j = 0; j < K; ++j)
                    tap[i * K + j] = fma(g, load<Vec<Real<S>>>(from + (i * room.width + j) * L), tap[i * K + j]);
        }
        summed += out.width;
        if (summed < SUMMED && y + 1 < out.height) continue;
        Real<S> sums[K * K * L];
        std::memcpy(sums, tap, sizeof(tap));
        for (int i = 0; i < K * K * L; ++i) sum[i] += sums[i];
        for (auto& one : tap) one = Vec<Real<S>>{};
        summed = 0;
    }
}

// dx (H, W, channels), n of its channels, of gradients with zeros between and around them.
template <int K, class S>
void input_gradient(const Real<S>* grad, Size room, Size pad, const Vec<Real<S>>* weight, S* dx, Size size,
                    int64_t channels, int64_t n) {
    constexpr int L = LANES<Real<S>>;
    for (int64_t y = 0; y < size.height; ++y)
        for (int64_t c = 0; c < size.width; ++c) {
            const Real<S>* from = grad + ((y + pad.height) * room.width + c + pad.width) * L;
            Vec<Real<S>> sum{};
#pragma GCC unroll 5
            for (int i = 0; i < K; ++i)
#pragma GCC unroll 5
                for (int j = 0; j < K; ++j)
                    sum = fma(weight[(K - 1 - i) * K + K - 1 - j], load<Vec<Real<S>>>(from + (i * room.width + j) * L), sum);
            put_values(dx + (y * size.width + c) * channels, sum, n);
        }
}

template <int K, class S>
void backward(const S* grad, const S* x, const Real<S>* weight, S* dx, double* dweight, int64_t batch, Size size, Size out,
              int64_t channels, Size stride, Size pad, int64_t threads) {
    constexpr int L = LANES<Real<S>>;
    const int64_t blocks = (channels + L - 1) / L, groups = std::min(batch, GROUPS), taps = K * K;
    const Size seen = {(out.height - 1) * stride.height + K, (out.width - 1) * stride.width + K};
    const Size room = {size.height + pad.height + K - 1, size.width + pad.width + K - 1};
    std::vector<double> partial(groups * blocks * taps * L, 0.0);
    parallel_for(groups, threads, [&](int64_t group) {
        auto* padded = scratch<Real<S>>(0, seen.height * seen.width * L);
        auto* between = scratch<Real<S>>(1, room.height * room.width * L);
        for (int64_t b = group; b < batch; b += groups)
            for (int64_t block = 0; block < blocks; ++block) {  // two share a cache line in bfloat16
                const int64_t c0 = block * L, n = std::min<int64_t>(L, channels - c0);
                Vec<Real<S>> w[K * K];
                for (int64_t i = 0; i < taps; ++i) w[i] = load_values(weight + i * channels + c0, n);
                const S* g = grad + b * out.height * out.width * channels + c0;
                const int64_t at = b * size.height * size.width * channels + c0;
                double* sum = &partial[(group * blocks + block) * taps * L];
                spread(x + at, size, channels, n, {1, 1}, pad, padded, seen);
                weight_gradient<K>(g, out, channels, n, padded, seen, stride, sum);
                spread(g, out, channels, n, stride, {K - 1, K - 1}, between, room);
                input_gradient<K>(between, room, pad, w, dx + at, size, channels, n);
            }
    });
    std::fill(dweight, dweight + taps * channels, 0.0);
    for (int64_t group = 0; group < groups; ++group)
        for (int64_t i = 0; i < taps; ++i)
            for (int64_t c = 0; c < channels; ++c)
                dweight[i * channels + c] += partial[((group * blocks + c / L) * taps + i) * L + c % L];
}

// dx (B, H, W, C) and dweight (K * K, C) from grad (B, h, w, C), x and weight (K * K, C); kernel K is 3 or 5.
template <class S>
void depthwise_backward(const S* grad, const S* x, const Real<S>* weight, S* dx, double* dweight, int64_t batch,
                        int64_t height, int64_t width, int64_t out_height, int64_t out_width, int64_t channels,
                        int64_t kernel, int64_t stride_y, int64_t stride_x, int64_t pad_y, int64_t pad_x, int64_t threads) {
    const Size size = {height, width}, out = {out_height, out_width}, stride = {stride_y, stride_x}, pad = {pad_y, pad_x};
    const auto run = kernel == 3 ? backward<3, S> : backward<5, S>;
    run(grad, x, weight, dx, dweight, batch, size, out, channels, stride, pad, threads);
}

}  // namespace

EXPORT(depthwise_backward)
EXPORT_BFLOAT16(depthwise_backward)
