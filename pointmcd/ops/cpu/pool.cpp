// Visibility pooling, and the sparse products of its backward where a linear layer precedes it.
#include "common.h"

namespace {

constexpr int MAX_VIEWS = 32;
constexpr int BLOCK = 128;  // points whose features are held in cache while every view looks at them
constexpr int64_t SLAB = 512;

// Features of a block of points, in rows so far apart that they do not compete for the same cache sets. Gives whether
// all are finite.
template <class T> bool copy_block(const T* feats, T* block, int64_t points, int64_t channels, int64_t width, int64_t stride) {
    Vec<T> odd{};
    for (int64_t p = 0; p < points; ++p)
        odd = copy_row(feats + p * channels, block + p * stride, width, round_up(width, TILE * LANES<T>), odd);
    return all_zero<T>(odd);
}

template <class T>
void update(const T* block, int64_t stride, const uint8_t* seen, int count, int64_t first, T* best, Index<T>* argmax) {
    constexpr int L = LANES<T>;
    Vec<T> value[TILE];
    IndexVec<T> from[TILE];
    for (int t = 0; t < TILE; ++t) {
        value[t] = load<Vec<T>>(best + t * L);
        from[t] = load<IndexVec<T>>(argmax + t * L);
    }
    for (int i = 0; i < count; ++i) {
        const T* row = block + seen[i] * stride;
        const IndexVec<T> index = splat_index<T>(first + seen[i]);
        for (int t = 0; t < TILE; ++t) {
            const Vec<T> x = load<Vec<T>>(row + t * L);
            const auto keep = x <= value[t];
            value[t] = keep ? value[t] : x;
            from[t] = keep ? from[t] : index;
        }
    }
    for (int t = 0; t < TILE; ++t) {
        store(best + t * L, value[t]);
        store(argmax + t * L, from[t]);
    }
}

// The same for features of which some are not finite: a NaN wins, and where the floor is not 0 so may -infinity.
template <class T>
void update_odd(const T* block, int64_t stride, const uint8_t* seen, int count, int64_t first, bool floored, T* best,
                Index<T>* argmax) {
    for (int i = 0; i < count; ++i)
        for (int c = 0; c < TILE * LANES<T>; ++c) {
            const T x = block[seen[i] * stride + c];
            if (!beats(x, best[c]) && (floored || argmax[c] >= 0)) continue;
            best[c] = x;
            argmax[c] = static_cast<Index<T>>(first + seen[i]);
        }
}

// out, argmax (B, V, C) from feats (B, M, C): see _pool in visibility_pool.py.
template <class T>
void visibility_pool(const T* feats, const int32_t* masks, T* out, int32_t* argmax, int64_t batch, int64_t points,
                     int64_t channels, int64_t views, int64_t floored, int64_t threads) {
    constexpr int64_t W = TILE * LANES<T>;
    const int64_t slabs = (channels + SLAB - 1) / SLAB;
    parallel_for(batch * slabs, threads, [&](int64_t task) {
        const int64_t b = task / slabs, c0 = task % slabs * SLAB;
        const int64_t width = std::min(SLAB, channels - c0), padded = round_up(width, W), stride = padded + 16;
        T* block = scratch<T>(0, BLOCK * stride);
        T* best = scratch<T>(1, views * padded);
        auto* from = scratch<Index<T>>(2, views * padded);
        std::fill(best, best + floored * padded, T(0));
        std::fill(best + floored * padded, best + views * padded, -std::numeric_limits<T>::infinity());
        std::fill(from, from + views * padded, -1);
        bool odd = false;  // a maximum may be NaN
        for (int64_t p0 = 0; p0 < points; p0 += BLOCK) {
            const int64_t count = std::min<int64_t>(BLOCK, points - p0);
            const bool finite = copy_block(feats + (b * points + p0) * channels + c0, block, count, channels, width, stride);
            uint8_t seen[MAX_VIEWS][BLOCK];
            int seen_count[MAX_VIEWS] = {};
            for (int64_t p = 0; p < count; ++p)
                for (uint32_t mask = masks[b * points + p0 + p]; mask; mask &= mask - 1) {
                    const int v = __builtin_ctz(mask);
                    seen[v][seen_count[v]++] = static_cast<uint8_t>(p);
                }
            for (int64_t c = 0; c < padded; c += W)
                for (int64_t v = 0; v < views; ++v) {
                    const int64_t at = v * padded + c;
                    if (finite && !odd)
                        update(block + c, stride, seen[v], seen_count[v], p0, best + at, from + at);
                    else
                        update_odd(block + c, stride, seen[v], seen_count[v], p0, v < floored, best + at, from + at);
                }
            odd |= !finite;
        }
        for (int64_t v = 0; v < views; ++v)
            for (int64_t c = 0; c < width; ++c) {
                const int64_t at = (b * views + v) * channels + c0 + c;
                argmax[at] = static_cast<int32_t>(from[v * padded + c]);
                out[at] = argmax[at] < 0 ? T(0) : best[v * padded + c];
            }
    });
}

// dfeats (B, M, C), zero on entry.
template <class T>
void visibility_pool_backward(const T* grad, const int32_t* argmax, T* dfeats, int64_t batch, int64_t points,
                              int64_t channels, int64_t views, int64_t threads) {
    const int64_t slabs = (channels + SLAB - 1) / SLAB;
    parallel_for(batch * slabs, threads, [&](int64_t task) {
        const int64_t b = task / slabs, c0 = task % slabs * SLAB, end = std::min(channels, c0 + SLAB);
        T* to = dfeats + b * points * channels;
        for (int64_t v = 0; v < views; ++v) {
            const int64_t row = (b * views + v) * channels;
            for (int64_t c = c0; c < end; ++c)
                if (argmax[row + c] >= 0) to[argmax[row + c] * channels + c] += grad[row + c];
        }
    });
}

template <class T> inline void add_scaled(T* __restrict to, const T* __restrict from, T factor, int64_t n) {
    for (int64_t i = 0; i < n; ++i) to[i] += factor * from[i];
}

// Adds to dx (B, M, I) and dweight (O, I): see pool_scatter in linear_norm_pool.py.
template <class T>
void pool_scatter(const T* grad, const int32_t* argmax, const T* x, const T* weight, T* dx, T* dweight, int64_t batch,
                  int64_t points, int64_t features, int64_t channels, int64_t views, int64_t threads) {
    constexpr int64_t GROUP = 32;
    const int64_t groups = (channels + GROUP - 1) / GROUP;
    parallel_for(batch + groups, threads, [&](int64_t task) {
        const bool to_points = task < batch;
        const int64_t b0 = to_points ? task : 0, b1 = to_points ? task + 1 : batch;
        const int64_t o0 = to_points ? 0 : (task - batch) * GROUP, o1 = to_points ? channels : std::min(channels, o0 + GROUP);
        for (int64_t b = b0; b < b1; ++b)
            for (int64_t o = o0; o < o1; ++o) {
                // What views take of the same point, as those do that all see the farthest out, is added up first.
                int32_t point[MAX_VIEWS];
                T sum[MAX_VIEWS];
                int count = 0;
                for (int64_t v = 0; v < views; ++v) {
                    const int64_t at = (b * views + v) * channels + o;
                    if (argmax[at] < 0 || grad[at] == 0) continue;
                    int i = 0;
                    while (i < count && point[i] != argmax[at]) ++i;
                    if (i == count) {
                        point[count] = argmax[at];
                        sum[count++] = 0;
                    }
                    sum[i] += grad[at];
                }
                for (int i = 0; i < count; ++i) {
                    const int64_t row = (b * points + point[i]) * features;
                    if (to_points)
                        add_scaled(dx + row, weight + o * features, sum[i], features);
                    else
                        add_scaled(dweight + o * features, x + row, sum[i], features);
                }
            }
    });
}

}  // namespace

EXPORT(visibility_pool)
EXPORT(visibility_pool_backward)
EXPORT(pool_scatter)
