// Farthest point sampling, ball query and the nearest points' weights; a block, or its threads, for one cloud each.

struct Farthest {
    Real distance;
    Int index;  // in the caller's order, the lowest of equally far ones
    Int at;     // where its coordinates are
    __device__ bool operator<(const Farthest& other) const {
        return distance != other.distance ? distance < other.distance : index > other.index;
    }
};

// The farthest over a block of BLOCK threads, each of which calls it and gets the answer.
__device__ inline Farthest farthest_of(const Farthest& mine) {
    constexpr int GROUPS = 16;
    __shared__ Farthest all[BLOCK], some[GROUPS];
    all[threadIdx.x] = mine;
    __syncthreads();
    if (threadIdx.x < GROUPS) {
        Farthest best = all[threadIdx.x];
        for (int t = threadIdx.x + GROUPS; t < BLOCK; t += GROUPS)
            if (best < all[t]) best = all[t];
        some[threadIdx.x] = best;
    }
    __syncthreads();
    Farthest best = some[0];
#pragma unroll
    for (int g = 1; g < GROUPS; ++g)
        if (best < some[g]) best = some[g];
    return best;
}

__device__ inline bool all_finite(Real x, Real y, Real z) { return (x - x) + (y - y) + (z - z) == 0; }

__device__ inline Real square_distance(Real dx, Real dy, Real dz) { return dx * dx + dy * dy + dz * dz; }

// out (B, count) from points (B, N, 3), N at most BLOCK * EACH: a thread holds EACH points in registers.
extern "C" __global__ void __launch_bounds__(BLOCK)
    farthest_point_sample(const Real* __restrict__ points, Int* __restrict__ out, Int n, Int count) {
    const Real* cloud = points + blockIdx.x * n * 3;
    Real x[EACH], y[EACH], z[EACH], distance[EACH];
#pragma unroll
    for (int e = 0; e < EACH; ++e) {
        const Int i = threadIdx.x + e * BLOCK;
        x[e] = i < n ? cloud[i * 3] : Real(0);
        y[e] = i < n ? cloud[i * 3 + 1] : Real(0);
        z[e] = i < n ? cloud[i * 3 + 2] : Real(0);
        // no filler is ever the farthest; a point that is nowhere is as one that is chosen already
        distance[e] = i >= n ? Real(-1) : all_finite(x[e], y[e], z[e]) ? Real(INFINITY) : Real(0);
    }
    Int last = 0;
    for (Int s = 0; s < count; ++s) {
        if (threadIdx.x == 0) out[blockIdx.x * count + s] = last;
        const Real px = cloud[last * 3], py = cloud[last * 3 + 1], pz = cloud[last * 3 + 2];
        Farthest best{Real(-1), 0, 0};
#pragma unroll
        for (int e = 0; e < EACH; ++e) {
            const Real d = square_distance(x[e] - px, y[e] - py, z[e] - pz);
            if (d < distance[e]) distance[e] = d;
            const Int i = threadIdx.x + e * BLOCK;
            if (distance[e] > best.distance) best = {distance[e], i, i};
        }
        last = farthest_of(best).index;
    }
}

// The same for many points, which come in an order where near ones stand together; `order` (B, N) has their indices in
// the caller's. Only those buckets of BUCKET points take part in a step whose box the new point can reach. Working
// memory: distance (B, N); box (B, buckets, 6); farthest (B, buckets); reached (B, buckets).
extern "C" __global__ void __launch_bounds__(BLOCK)
    farthest_point_sample_bucketed(const Real* __restrict__ points, const Int* __restrict__ order, Real* distance, Real* box,
                                   Farthest* farthest, Int* reached, Int* __restrict__ out, Int n, Int count) {
    constexpr int BUCKET = 256, GROUP = 32, GROUPS = BLOCK / GROUP;
    const Int buckets = (n + BUCKET - 1) / BUCKET, b = blockIdx.x;
    points += b * n * 3, order += b * n, distance += b * n;
    box += b * buckets * 6, farthest += b * buckets, reached += b * buckets, out += b * count;
    __shared__ Int start;
    __shared__ int active;
    __shared__ Farthest found[BLOCK];
    for (Int i = threadIdx.x; i < n; i += BLOCK) {
        distance[i] = all_finite(points[i * 3], points[i * 3 + 1], points[i * 3 + 2]) ? Real(INFINITY) : Real(0);
        if (order[i] == 0) start = i;
    }
    for (Int u = threadIdx.x; u < buckets; u += BLOCK) {
        for (int axis = 0; axis < 3; ++axis) {
            Real low = INFINITY, high = -INFINITY;
            for (Int i = u * BUCKET; i < (u + 1) * BUCKET && i < n; ++i) {
                low = min(low, points[i * 3 + axis]);
                high = max(high, points[i * 3 + axis]);
            }
            box[u * 6 + axis] = low;
            box[u * 6 + 3 + axis] = high;
        }
        farthest[u] = {Real(INFINITY), 0, 0};
    }
    __syncthreads();
    Farthest last{Real(INFINITY), 0, start};
    for (Int s = 0; s < count; ++s) {
        if (threadIdx.x == 0) {
            out[s] = last.index;
            active = 0;
        }
        const Real p[3] = {points[last.at * 3], points[last.at * 3 + 1], points[last.at * 3 + 2]};
        __syncthreads();
        for (Int u = threadIdx.x; u < buckets; u += BLOCK) {
            Real reach = 0;
            for (int axis = 0; axis < 3; ++axis) {
                const Real d = max(max(box[u * 6 + axis] - p[axis], p[axis] - box[u * 6 + 3 + axis]), Real(0));
                reach += d * d;
            }
            // rounding must not lift the bound above a point's distance
            if (s == 0 || !(reach * (1 - 8 * EPSILON) >= farthest[u].distance)) reached[atomicAdd(&active, 1)] = u;
        }
        __syncthreads();
        for (int round = 0; round < active; round += GROUPS) {
            const int mine = round + threadIdx.x / GROUP;
            Farthest best{Real(-1), 0, 0};
            if (mine < active) {
                const Int first = reached[mine] * BUCKET, end = first + BUCKET < n ? first + BUCKET : n;
                for (Int i = first + threadIdx.x % GROUP; i < end; i += GROUP) {
                    const Real d = square_distance(points[i * 3] - p[0], points[i * 3 + 1] - p[1], points[i * 3 + 2] - p[2]);
                    if (d < distance[i]) distance[i] = d;
                    const Farthest here{distance[i], order[i], i};
                    if (best < here) best = here;
                }
            }
            found[threadIdx.x] = best;
            __syncthreads();
            if (mine < active && threadIdx.x % GROUP == 0) {
                for (int t = 1; t < GROUP; ++t)
                    if (best < found[threadIdx.x + t]) best = found[threadIdx.x + t];
                farthest[reached[mine]] = best;
            }
            __syncthreads();
        }
        Farthest best{Real(-1), 0, start};
        for (Int u = threadIdx.x; u < buckets; u += BLOCK)
            if (best < farthest[u]) best = farthest[u];
        last = farthest_of(best);
    }
}

// Calls take(i, squared distance) for the points i = 0 ... n - 1 of the block's cloud, TILE at a time through shared memory.
// Every thread calls it, those without a query (inside is false) too.
template <class Take>
__device__ void each_point(const Real* cloud, Int n, const Real* query, bool inside, Take take) {
    constexpr int TILE = 256;
    __shared__ Real tile[TILE][3];
    const Real x = inside ? query[0] : Real(0), y = inside ? query[1] : Real(0), z = inside ? query[2] : Real(0);
    for (Int first = 0; first < n; first += TILE) {
        const int size = n - first < TILE ? static_cast<int>(n - first) : TILE;
        __syncthreads();
        for (int i = threadIdx.x; i < size * 3; i += BLOCK) tile[i / 3][i % 3] = cloud[first * 3 + i];
        __syncthreads();
        if (!inside) continue;
        for (int i = 0; i < size; ++i)
            take(first + i, square_distance(x - tile[i][0], y - tile[i][1], z - tile[i][2]));
    }
}

// out (B, M, k): see ball_query in group.py. A thread for each center.
extern "C" __global__ void __launch_bounds__(BLOCK)
    ball_query(const Real* __restrict__ points, const Real* __restrict__ centers, Int* __restrict__ out, double radius,
               Int n, Int count, Int k) {
    const Int parts = (count + BLOCK - 1) / BLOCK, b = blockIdx.x / parts, m = blockIdx.x % parts * BLOCK + threadIdx.x;
    const Real limit = static_cast<Real>(radius * radius);
    Int* to = out + (b * count + m) * k;
    Int found = 0, nearest = 0;
    Real least = INFINITY;
    each_point(points + b * n * 3, n, centers + (b * count + m) * 3, m < count, [&](Int i, Real d) {
        if (d <= limit && found < k) to[found++] = i;
        if (d < least) {
            least = d;
            nearest = i;
        }
    });
    if (m >= count) return;
    const Int first = found ? to[0] : nearest;
    for (; found < k; ++found) to[found] = first;
}

// index, weight (B, Q, K): see nearest_weights in interpolate.py. A thread for each query.
extern "C" __global__ void __launch_bounds__(BLOCK)
    nearest_weights(const Real* __restrict__ points, const Real* __restrict__ queries, Int* __restrict__ index,
                    Real* __restrict__ weight, Int n, Int count) {
    const Int parts = (count + BLOCK - 1) / BLOCK, b = blockIdx.x / parts, q = blockIdx.x % parts * BLOCK + threadIdx.x;
    Real distance[K];
    int at[K];
#pragma unroll
    for (int j = 0; j < K; ++j) {
        distance[j] = INFINITY;
        at[j] = 0;
    }
    each_point(points + b * n * 3, n, queries + (b * count + q) * 3, q < count, [&](Int i, Real d) {
        if (!(d < distance[K - 1])) return;
        int from = static_cast<int>(i);
#pragma unroll
        for (int j = 0; j < K; ++j)  // the new one takes its place, those after it move on
            if (d < distance[j]) {
                const Real next = distance[j];
                const int next_at = at[j];
                distance[j] = d;
                at[j] = from;
                d = next;
                from = next_at;
            }
    });
    if (q >= count) return;
    Real total = 0;
#pragma unroll
    for (int j = 0; j < K; ++j) {
        distance[j] = 1 / (distance[j] + Real(1e-8));
        total += distance[j];
    }
#pragma unroll
    for (int j = 0; j < K; ++j) {
        index[(b * count + q) * K + j] = at[j];
        weight[(b * count + q) * K + j] = distance[j] / total;
    }
}
