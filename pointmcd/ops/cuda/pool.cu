// Visibility pooling: one pass over the features, the running maxima of all VIEWS views in registers. A warp looks at one
// point at a time, so that its branch on the point's mask is uniform; the block's SLICES warps share a cloud's points.

constexpr int AHEAD = 4;  // points whose loads are under way at once
constexpr int WIDTH = 32 * VEC;
constexpr int POINTS = 128;  // points to a block in the backward

// out, argmax (B, VIEWS, C) from feats (B, M, C) and masks (B, M): see _pool in visibility_pool.py.
extern "C" __global__ void __launch_bounds__(32 * SLICES)
    visibility_pool(const Scalar* __restrict__ feats, const int* __restrict__ masks, Scalar* __restrict__ out,
                    int* __restrict__ argmax, Int points, Int channels, Int floored) {
    const Int parts = (channels + WIDTH - 1) / WIDTH, b = blockIdx.x / parts;
    const int lane = threadIdx.x % 32, slice = threadIdx.x / 32;
    const Int c = blockIdx.x % parts * WIDTH + lane * VEC;
    const bool inside = c < channels;
    Real best[VIEWS][VEC];
    int from[VIEWS][VEC];
#pragma unroll
    for (int v = 0; v < VIEWS; ++v)
        for (int i = 0; i < VEC; ++i) {
            best[v][i] = v < floored ? Real(0) : -INFINITY;
            from[v][i] = -1;
        }
    const Int first = points * slice / SLICES, last = points * (slice + 1) / SLICES;
    for (Int n = first; n < last; n += AHEAD) {
        Reals x[AHEAD];
        unsigned mask[AHEAD];
#pragma unroll
        for (int a = 0; a < AHEAD; ++a) {
            mask[a] = inside && n + a < last ? masks[b * points + n + a] : 0;
            if (inside && n + a < last) x[a] = load(feats + (b * points + n + a) * channels + c);
        }
#pragma unroll
        for (int a = 0; a < AHEAD; ++a)
#pragma unroll
            for (int v = 0; v < VIEWS; ++v)
                if (mask[a] >> v & 1)
#pragma unroll
                    for (int i = 0; i < VEC; ++i)
                        if (beats(x[a].at[i], best[v][i]) || (v >= floored && from[v][i] < 0)) {
                            best[v][i] = x[a].at[i];
                            from[v][i] = static_cast<int>(n) + a;
                        }
    }
    __shared__ Real values[2][SLICES][WIDTH];
    __shared__ int indices[2][SLICES][WIDTH];
#pragma unroll
    for (int v = 0; v < VIEWS; ++v) {
#pragma unroll
        for (int i = 0; i < VEC; ++i) {
            values[v % 2][slice][lane * VEC + i] = best[v][i];
            indices[v % 2][slice][lane * VEC + i] = from[v][i];
        }
        __syncthreads();  // one is enough: the next view writes to the other half
        if (slice != v % SLICES || !inside) continue;
        const Int to = (b * VIEWS + v) * channels + c;
        Reals value;
#pragma unroll
        for (int i = 0; i < VEC; ++i) {
            value.at[i] = values[v % 2][0][lane * VEC + i];
            int index = indices[v % 2][0][lane * VEC + i];
            for (int s = 1; s < SLICES; ++s) {
                const Real other = values[v % 2][s][lane * VEC + i];
                const int at = indices[v % 2][s][lane * VEC + i];
                if (at >= 0 && (index < 0 || beats(other, value.at[i]))) {
                    value.at[i] = other;
                    index = at;
                }
            }
            if (index < 0) value.at[i] = 0;
            argmax[to + i] = index;
        }
        store(out + to, value);
    }
}

// dfeats (B, M, C): a block writes POINTS rows of WIDTH channels once, zeros first. Of several views that took the same
// point, the first adds up all their gradients.
extern "C" __global__ void __launch_bounds__(THREADS)
    visibility_pool_backward(const Scalar* __restrict__ grad, const int* __restrict__ argmax, Scalar* dfeats, Int points,
                             Int channels) {
    const Int parts = (channels + WIDTH - 1) / WIDTH, ranges = (points + POINTS - 1) / POINTS;
    const Int c0 = blockIdx.x % parts * WIDTH, b = blockIdx.x / parts / ranges;
    const Int first = blockIdx.x / parts % ranges * POINTS;
    const Int last = first + POINTS < points ? first + POINTS : points;
    const Int c = c0 + threadIdx.x % 32 * VEC;
    const Reals zeros{};
    if (c < channels)
        for (Int n = first + threadIdx.x / 32; n < last; n += THREADS / 32)
            store(dfeats + (b * points + n) * channels + c, zeros);
    __syncthreads();
    for (Int own = c0 + threadIdx.x; own < c0 + WIDTH && own < channels; own += THREADS) {
        Real g[VIEWS];
        int at[VIEWS];
#pragma unroll
        for (int v = 0; v < VIEWS; ++v) {
            at[v] = argmax[(b * VIEWS + v) * channels + own];
            g[v] = static_cast<Real>(grad[(b * VIEWS + v) * channels + own]);
        }
#pragma unroll
        for (int v = 0; v < VIEWS; ++v) {
            if (at[v] < first || at[v] >= last) continue;
            Real sum = g[v];
            bool before = false;
#pragma unroll
            for (int u = 0; u < VIEWS; ++u) {
                if (u < v && at[u] == at[v]) before = true;
                if (u > v && at[u] == at[v]) sum += g[u];
            }
            if (!before) dfeats[(b * points + at[v]) * channels + own] = static_cast<Scalar>(sum);
        }
    }
}
