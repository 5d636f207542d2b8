// k nearest neighbours in two kernels: squared distances, blocked as a matrix product is; then, for each query, a bound
// that at least k of them meet, and exact distances for the few that do.

constexpr int SIDE = 64;   // queries and points to a block of 16 x 16 threads, 4 x 4 for each
constexpr int DEPTH = 16;  // channels in shared memory at once

// One tile of rows (SIDE of the n from `first` on, DEPTH channels from c0 on), channel first, zero beyond the ends.
__device__ inline void fetch(const Real* rows, Int first, Int n, Int c0, Int channels, Real (&tile)[DEPTH][SIDE + 4]) {
    for (int i = threadIdx.x; i < SIDE * DEPTH; i += THREADS) {
        const Int row = first + i / DEPTH, c = c0 + i % DEPTH;
        tile[i % DEPTH][i / DEPTH] = row < n && c < channels ? rows[row * channels + c] : Real(0);
    }
}

// out (B, Q, N). EXPANDED: from the product and the squared norms of points (B, N) and queries (B, Q); else from
// differences, exactly.
extern "C" __global__ void __launch_bounds__(THREADS)
    distances(const Real* __restrict__ points, const Real* __restrict__ queries, const Real* __restrict__ point_norm,
              const Real* __restrict__ query_norm, Real* __restrict__ out, Int n, Int count, Int channels) {
    const Int across = (n + SIDE - 1) / SIDE, down = (count + SIDE - 1) / SIDE;
    const Int b = blockIdx.x / across / down, p0 = blockIdx.x % across * SIDE, q0 = blockIdx.x / across % down * SIDE;
    alignas(16) __shared__ Real p[DEPTH][SIDE + 4], q[DEPTH][SIDE + 4];
    const int column = threadIdx.x % 16 * 4, row = threadIdx.x / 16 * 4;
    Real sum[4][4] = {};
    for (Int c0 = 0; c0 < channels; c0 += DEPTH) {
        fetch(points + b * n * channels, p0, n, c0, channels, p);
        fetch(queries + b * count * channels, q0, count, c0, channels, q);
        __syncthreads();
#pragma unroll
        for (int c = 0; c < DEPTH; ++c) {
            const Reals x = load(&p[c][column]), y = load(&q[c][row]);
#pragma unroll
            for (int i = 0; i < 4; ++i)
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    const Real a = EXPANDED ? x.at[j] : x.at[j] - y.at[i];
                    sum[i][j] = fma(a, EXPANDED ? y.at[i] : a, sum[i][j]);
                }
        }
        __syncthreads();
    }
    for (int i = 0; i < 4; ++i)
        for (int j = 0; j < 4; ++j) {
            if (q0 + row + i >= count || p0 + column + j >= n) continue;
            Real d = sum[i][j];
            if (EXPANDED) d = max(point_norm[b * n + p0 + column + j] + query_norm[b * count + q0 + row + i] - 2 * d, Real(0));
            out[(b * count + q0 + row + i) * n + p0 + column + j] = d;
        }
}

__device__ inline bool before(Real d, Int i, Real other, Int j) { return d != other ? d < other : i < j; }

// out (B, Q, k), nearest first; a block for each query. rough (B, Q, N) is overwritten; slack (B, Q) bounds its error.
extern "C" __global__ void __launch_bounds__(BLOCK)
    nearest(const Real* __restrict__ points, const Real* __restrict__ queries, Real* rough, const Real* __restrict__ slack,
            Int* __restrict__ out, Int n, Int count, Int channels, Int k) {
    constexpr int CAPACITY = 1024;
    __shared__ Real minima[BLOCK], limit, distance[CAPACITY];
    __shared__ Int index[CAPACITY];
    __shared__ int found;
    const Int query = blockIdx.x;
    const Real* cloud = points + query / count * n * channels;
    const Real* from = queries + query * channels;
    rough += query * n;
    out += query * k;

    // The k-th least of the threads' own minima: k points at least are no farther.
    Real mine = INFINITY;
    for (Int i = threadIdx.x; i < n; i += BLOCK) mine = min(mine, rough[i]);
    minima[threadIdx.x] = mine;
    if (threadIdx.x == 0) {
        limit = INFINITY;
        found = 0;
    }
    __syncthreads();
    Int rank = 0;
    for (int t = 0; t < BLOCK; ++t) rank += before(minima[t], t, mine, threadIdx.x);
    if (rank == k - 1) limit = mine;
    __syncthreads();

    const Real bound = limit * (1 + 8 * EPSILON) + slack[query];
    for (Int i = threadIdx.x; i < n; i += BLOCK) {
        Real exact = INFINITY;
        if (!(rough[i] > bound)) {
            exact = 0;
            for (Int c = 0; c < channels; ++c) {
                const Real d = cloud[i * channels + c] - from[c];
                exact = fma(d, d, exact);
            }
            if (!(exact < INFINITY)) exact = INFINITY;  // coordinates that are not numbers
            const int slot = atomicAdd(&found, 1);
            if (slot < CAPACITY) {
                distance[slot] = exact;
                index[slot] = i;
            }
        }
        rough[i] = exact;
    }
    __syncthreads();

    if (found >= k && found <= CAPACITY) {
        for (int s = threadIdx.x; s < found; s += BLOCK) {
            Int place = 0;
            for (int t = 0; t < found; ++t) place += before(distance[t], index[t], distance[s], index[s]);
            if (place < k) out[place] = index[s];
        }
        return;
    }
    // Too many candidates, as of points that coincide: the least that follows the last, k times.
    Real last = -1;
    Int last_index = -1;
    for (Int s = 0; s < k; ++s) {
        Real best = INFINITY;
        Int at = n;
        for (Int i = threadIdx.x; i < n; i += BLOCK)
            if (before(last, last_index, rough[i], i) && before(rough[i], i, best, at)) {
                best = rough[i];
                at = i;
            }
        distance[threadIdx.x] = best;
        index[threadIdx.x] = at;
        __syncthreads();
        for (int t = 0; t < BLOCK; ++t)
            if (before(distance[t], index[t], best, at)) {
                best = distance[t];
                at = index[t];
            }
        __syncthreads();
        last = best;
        last_index = at;
        if (threadIdx.x == 0) out[s] = at;
    }
}
