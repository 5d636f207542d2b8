// EdgeConv's maximum over the neighbours, with sums over all edges, and its backward. Nothing is stored per edge.
#include "simd.h"

namespace {

// Columns [c0, c0 + width) of pq's half (0: P, 1: Q) of one cloud, in dense rows of W, zero beyond. Gives whether all are
// finite.
template <class T>
bool copy_tile(const T* pq, T* tile, int half, int64_t c0, int64_t width, int64_t points, int64_t channels, int64_t stride) {
    Vec<T> odd{};
    for (int64_t i = 0; i < points; ++i)
        odd = copy_row(pq + (2 * i + half) * channels + c0, tile + i * stride, width, TILE * LANES<T>, odd);
    return all_zero<T>(odd);
}

// extremum, argmax (B, N, O) and sums (2, O): see edge_max in edge_conv.py.
template <class T>
void edge_max(const T* pq, const int64_t* neighbors, T* extremum, int32_t* argmax, double* sums, int64_t batch,
              int64_t points, int64_t k, int64_t channels, int64_t threads) {
    constexpr int L = LANES<T>;
    constexpr int64_t W = TILE * L;
    const int64_t tiles = (channels + W - 1) / W;
    std::vector<double> partial(batch * 2 * channels);
    parallel_for(batch * tiles, threads, [&](int64_t task) {
        const int64_t b = task / tiles, c0 = task % tiles * W, width = std::min(W, channels - c0);
        const T* cloud = pq + b * points * 2 * channels;
        T* p_tile = scratch<T>(0, points * W);
        T* q_tile = scratch<T>(1, points * W);
        copy_tile(cloud, p_tile, 0, c0, width, points, channels, W);
        const bool finite = copy_tile(cloud, q_tile, 1, c0, width, points, channels, W);
        Vec<T> shift[TILE];  // near the mean of y, so that the squares keep their digits
        for (int t = 0; t < TILE; ++t)
            shift[t] = load<Vec<T>>(p_tile + t * L) + load<Vec<T>>(q_tile + neighbors[b * points * k] * W + t * L);
        double sum[W] = {}, square[W] = {};
        for (int64_t i = 0; i < points; ++i) {
            const int64_t* to = neighbors + (b * points + i) * k;
            Vec<T> p[TILE], q_best[TILE], s1[TILE], s2[TILE];
            IndexVec<T> from[TILE];
            for (int t = 0; t < TILE; ++t) {
                p[t] = load<Vec<T>>(p_tile + i * W + t * L) - shift[t];
                q_best[t] = load<Vec<T>>(q_tile + to[0] * W + t * L);
                from[t] = splat_index<T>(to[0]);
                s1[t] = p[t] + q_best[t];
                s2[t] = s1[t] * s1[t];
            }
            for (int64_t j = 1; j < k; ++j) {
                const T* row = q_tile + to[j] * W;
                const IndexVec<T> index = splat_index<T>(to[j]);
                for (int t = 0; t < TILE; ++t) {
                    const Vec<T> q = load<Vec<T>>(row + t * L), y = p[t] + q;
                    const auto keep = q <= q_best[t];
                    q_best[t] = keep ? q_best[t] : q;
                    from[t] = keep ? from[t] : index;
                    s1[t] += y;
                    s2[t] = fma(y, y, s2[t]);
                }
            }
            T value[W], a[W], s[W];
            Index<T> index[W];
            for (int t = 0; t < TILE; ++t) {
                store(value + t * L, load<Vec<T>>(p_tile + i * W + t * L) + q_best[t]);
                store(index + t * L, from[t]);
                store(a + t * L, s1[t]);
                store(s + t * L, s2[t]);
            }
            if (!finite) {  // comparisons lose a NaN, which wins
                for (int64_t c = 0; c < width; ++c)
                    for (int64_t j = 0; j < k; ++j) {
                        const T q = q_tile[to[j] * W + c];
                        if (j && !beats(q, q_tile[index[c] * W + c])) continue;
                        index[c] = static_cast<Index<T>>(to[j]);
                        value[c] = p_tile[i * W + c] + q;
                    }
            }
            for (int64_t c = 0; c < W; ++c) {
                sum[c] += a[c];
                square[c] += s[c];
            }
            const int64_t at = (b * points + i) * channels + c0;
            std::memcpy(extremum + at, value, width * sizeof(T));
            for (int64_t c = 0; c < width; ++c) argmax[at + c] = static_cast<int32_t>(index[c]);
        }
        T shifted[W];
        for (int t = 0; t < TILE; ++t) store(shifted + t * L, shift[t]);
        const double edges = static_cast<double>(points * k);
        for (int64_t c = 0; c < width; ++c) {
            const double h = shifted[c];
            partial[b * 2 * channels + c0 + c] = sum[c] + edges * h;
            partial[(b * 2 + 1) * channels + c0 + c] = square[c] + h * (2 * sum[c] + edges * h);
        }
    });
    std::fill(sums, sums + 2 * channels, 0.0);
    for (int64_t b = 0; b < batch; ++b)
        for (int64_t c = 0; c < 2 * channels; ++c) sums[c] += partial[b * 2 * channels + c];
}

// The graph turned round: from[starts[j]] to from[starts[j + 1] - 1] are the points that have j as a neighbour, in order.
// starts (N + 2), from (N k).
inline void turn_round(const int64_t* neighbors, int64_t points, int64_t k, int32_t* starts, int32_t* from) {
    std::fill(starts, starts + points + 2, 0);
    for (int64_t e = 0; e < points * k; ++e) ++starts[neighbors[e] + 2];
    for (int64_t j = 2; j < points + 2; ++j) starts[j] += starts[j - 1];
    for (int64_t i = 0, e = 0; i < points; ++i)
        for (int64_t j = 0; j < k; ++j, ++e) from[starts[neighbors[e] + 1]++] = static_cast<int32_t>(i);
}

// sum (W) = the rows of a tile that `rows` names, added up.
template <class T, class I> inline void sum_rows(const T* tile, const I* rows, int64_t count, T* sum) {
    constexpr int L = LANES<T>;
    Vec<T> total[TILE] = {};
    for (int64_t j = 0; j < count; ++j)
        for (int t = 0; t < TILE; ++t) total[t] += load<Vec<T>>(tile + rows[j] * (TILE * L) + t * L);
    for (int t = 0; t < TILE; ++t) store(sum + t * L, total[t]);
}

// dpq (B, N, 2O); affine is [scale, shift, slope, offset] (4, O): see edge_max_backward in edge_conv.py.
template <class T>
void edge_max_backward(const T* grad, const T* pq, const int64_t* neighbors, const T* extremum, const int32_t* argmax,
                       const T* affine, T* dpq, double negative_slope, int64_t batch, int64_t points, int64_t k,
                       int64_t channels, int64_t threads) {
    constexpr int L = LANES<T>;
    constexpr int64_t W = TILE * L;
    const int64_t tiles = (channels + W - 1) / W;
    const T act_slope = static_cast<T>(negative_slope), degree_out = static_cast<T>(k);
    std::vector<int32_t> all_starts(batch * (points + 2)), all_from(batch * points * k);
    parallel_for(batch, threads, [&](int64_t b) {
        turn_round(neighbors + b * points * k, points, k, &all_starts[b * (points + 2)], &all_from[b * points * k]);
    });
    parallel_for(batch * tiles, threads, [&](int64_t task) {
        const int64_t b = task / tiles, c0 = task % tiles * W, width = std::min(W, channels - c0);
        const T* cloud = pq + b * points * 2 * channels;
        T* dcloud = dpq + b * points * 2 * channels;
        T* p_tile = scratch<T>(0, points * W);
        T* q_tile = scratch<T>(1, points * W);
        T* g_tile = scratch<T>(2, points * W);  // what reaches Q by the maxima
        copy_tile(cloud, p_tile, 0, c0, width, points, channels, W);
        copy_tile(cloud, q_tile, 1, c0, width, points, channels, W);
        std::fill(g_tile, g_tile + points * W, T(0));
        T row[4][W] = {}, sum[W], g[W], given[W] = {}, value[W] = {}, out[W];
        for (int n = 0; n < 4; ++n) std::memcpy(row[n], affine + n * channels + c0, width * sizeof(T));
        const T *scale = row[0], *shift = row[1], *slope = row[2], *offset = row[3];
        for (int64_t i = 0; i < points; ++i) {
            const int64_t at = (b * points + i) * channels + c0;
            const T* p = p_tile + i * W;
            sum_rows(q_tile, neighbors + (b * points + i) * k, k, sum);
            std::memcpy(given, grad + at, width * sizeof(T));
            std::memcpy(value, extremum + at, width * sizeof(T));
            for (int t = 0; t < W; t += L) {
                const Vec<T> y = load<Vec<T>>(given + t), by = load<Vec<T>>(scale + t), tilt = load<Vec<T>>(slope + t);
                const Vec<T> past = fma(load<Vec<T>>(value + t), by, load<Vec<T>>(shift + t)) > 0 ? y : y * act_slope;
                const Vec<T> dense = tilt * load<Vec<T>>(p + t) + load<Vec<T>>(offset + t);
                store(g + t, past * by);
                store(out + t, past * by + degree_out * dense + tilt * load<Vec<T>>(sum + t));
            }
            std::memcpy(dcloud + 2 * i * channels + c0, out, width * sizeof(T));
            for (int64_t c = 0; c < width; ++c) g_tile[argmax[at + c] * W + c] += g[c];
        }
        const int32_t *starts = &all_starts[b * (points + 2)], *from = &all_from[b * points * k];
        for (int64_t i = 0; i < points; ++i) {
            const T *q = q_tile + i * W, *by_maxima = g_tile + i * W;
            const int32_t degree = starts[i + 1] - starts[i];
            sum_rows(p_tile, from + starts[i], degree, sum);
            const T times = static_cast<T>(degree);
            for (int t = 0; t < W; t += L) {
                const Vec<T> edges = load<Vec<T>>(sum + t) + times * load<Vec<T>>(q + t);
                store(out + t, load<Vec<T>>(by_maxima + t) + load<Vec<T>>(slope + t) * edges + times * load<Vec<T>>(offset + t));
            }
            std::memcpy(dcloud + (2 * i + 1) * channels + c0, out, width * sizeof(T));
        }
    });
}

}  // namespace

EXPORT(edge_max)
EXPORT(edge_max_backward)
