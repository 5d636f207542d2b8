// EdgeConv's maximum over the neighbours, with sums over all edges, and its backward. Nothing is stored per edge.

// extremum, argmax (B, N, O) and a block's partial sums (2, O) from pq (B, N, 2O): see edge_max in edge_conv.py. A block
// takes `step` points of one cloud.
extern "C" __global__ void __launch_bounds__(THREADS)
    edge_max(const Scalar* __restrict__ pq, const Int* __restrict__ neighbors, Scalar* __restrict__ extremum,
             int* __restrict__ argmax, double* __restrict__ partial, Int points, Int k, Int channels, Int step, Int lanes) {
    const Int parts = (points + step - 1) / step, b = blockIdx.x / parts;
    const Int first = blockIdx.x % parts * step, last = first + step < points ? first + step : points;
    const Scalar* cloud = pq + b * points * 2 * channels;
    for (Int c0 = 0; c0 < channels; c0 += lanes * VEC) {
        const Int c = c0 + lane_of(lanes) * VEC;
        double sums[2][VEC] = {};
        if (c < channels) {
            // an edge's value, near the mean of all, so that the squares keep their digits
            const Reals p0 = load(cloud + first * 2 * channels + c);
            const Reals q0 = load(cloud + (neighbors[(b * points + first) * k] * 2 + 1) * channels + c);
            Reals shift;
#pragma unroll
            for (int i = 0; i < VEC; ++i) shift.at[i] = p0.at[i] + q0.at[i];
            double edges = 0;
            for (Int n = first + threadIdx.x / static_cast<unsigned>(lanes); n < last; n += rows_a_block(lanes)) {
                const Int* to = neighbors + (b * points + n) * k;
                const Reals p = load(cloud + n * 2 * channels + c);
                Reals best, sum{}, square{};
                int from[VEC];
#pragma unroll
                for (int i = 0; i < VEC; ++i) {
                    best.at[i] = -INFINITY;
                    from[i] = static_cast<int>(to[0]);
                }
#pragma unroll 4
                for (Int j = 0; j < k; ++j) {
                    assert(0 <= to[j] && to[j] < points);
                    const Reals q = load(cloud + (to[j] * 2 + 1) * channels + c);
#pragma unroll
                    for (int i = 0; i < VEC; ++i) {
                        const Real y = p.at[i] - shift.at[i] + q.at[i];
                        sum.at[i] += y;
                        square.at[i] = fma(y, y, square.at[i]);
                        if (beats(q.at[i], best.at[i])) {
                            best.at[i] = q.at[i];
                            from[i] = static_cast<int>(to[j]);
                        }
                    }
                }
                Reals value;
                const Int at = (b * points + n) * channels + c;
#pragma unroll
                for (int i = 0; i < VEC; ++i) {
                    value.at[i] = p.at[i] + best.at[i];
                    argmax[at + i] = from[i];
                    sums[0][i] += sum.at[i];
                    sums[1][i] += square.at[i];
                }
                store(extremum + at, value);
                edges += k;
            }
#pragma unroll
            for (int i = 0; i < VEC; ++i) {
                const double h = shift.at[i];
                sums[1][i] += h * (2 * sums[0][i] + edges * h);
                sums[0][i] += edges * h;
            }
        }
        add_up(sums, c, channels, lanes, partial + blockIdx.x * 2 * channels);
    }
}

// The gradient at P, half of dpq (B, N, 2O); affine is [scale, shift, slope, offset] (4, O): see edge_max_backward in
// edge_conv.py. A row for each point.
extern "C" __global__ void __launch_bounds__(THREADS)
    edge_max_centers(const Scalar* __restrict__ grad, const Scalar* __restrict__ pq, const Int* __restrict__ neighbors,
                     const Scalar* __restrict__ extremum, const Real* __restrict__ affine, Scalar* __restrict__ dpq,
                     double negative_slope, Int rows, Int points, Int k, Int channels, Int lanes) {
    const Int row = row_of(lanes);
    if (row >= rows) return;
    const Scalar* cloud = pq + row / points * points * 2 * channels;
    for (Int c = lane_of(lanes) * VEC; c < channels; c += lanes * VEC) {
        Reals q_sum{};
#pragma unroll 4
        for (Int j = 0; j < k; ++j) {
            const Reals q = load(cloud + (neighbors[row * k + j] * 2 + 1) * channels + c);
#pragma unroll
            for (int i = 0; i < VEC; ++i) q_sum.at[i] += q.at[i];
        }
        const Reals g = load(grad + row * channels + c), y = load(extremum + row * channels + c);
        const Reals p = load(pq + row * 2 * channels + c), scale = load(affine + c), shift = load(affine + channels + c);
        const Reals slope = load(affine + 2 * channels + c), offset = load(affine + 3 * channels + c);
        Reals d;
#pragma unroll
        for (int i = 0; i < VEC; ++i) {
            const Real through = through_act(g.at[i], y.at[i], scale.at[i], shift.at[i], static_cast<Real>(negative_slope));
            d.at[i] = through * scale.at[i] + k * fma(slope.at[i], p.at[i], offset.at[i]) + slope.at[i] * q_sum.at[i];
        }
        store(dpq + row * 2 * channels + c, d);
    }
}

// The gradient at Q, the other half. users[starts[r]] to users[starts[r + 1] - 1] are the points (rows of B * N) that
// have point r as neighbour, once for each edge.
extern "C" __global__ void __launch_bounds__(THREADS)
    edge_max_neighbors(const Scalar* __restrict__ grad, const Scalar* __restrict__ pq, const Int* __restrict__ users,
                       const Int* __restrict__ starts, const Scalar* __restrict__ extremum,
                       const int* __restrict__ argmax, const Real* __restrict__ affine, Scalar* __restrict__ dpq,
                       double negative_slope, Int rows, Int points, Int channels, Int lanes) {
    const Int row = row_of(lanes);
    if (row >= rows) return;
    const Int first = starts[row], last = starts[row + 1];
    const int own = static_cast<int>(row % points);
    for (Int c = lane_of(lanes) * VEC; c < channels; c += lanes * VEC) {
        const Reals scale = load(affine + c), shift = load(affine + channels + c);
        const Reals slope = load(affine + 2 * channels + c), offset = load(affine + 3 * channels + c);
        Reals p_sum{}, g_sum{};
#pragma unroll 4
        for (Int e = first; e < last; ++e) {
            const Int user = users[e];
            const Reals p = load(pq + user * 2 * channels + c);
            const bool again = e > first && users[e - 1] == user;  // a neighbour named twice takes the maximum once
#pragma unroll
            for (int i = 0; i < VEC; ++i) {
                p_sum.at[i] += p.at[i];
                const Int at = user * channels + c + i;
                if (argmax[at] != own || again) continue;
                const Real g = static_cast<Real>(grad[at]), y = static_cast<Real>(extremum[at]);
                g_sum.at[i] += through_act(g, y, scale.at[i], shift.at[i], static_cast<Real>(negative_slope));
            }
        }
        const Reals q = load(pq + (row * 2 + 1) * channels + c);
        Reals d;
#pragma unroll
        for (int i = 0; i < VEC; ++i)
            d.at[i] = g_sum.at[i] * scale.at[i] + (last - first) * fma(slope.at[i], q.at[i], offset.at[i]) +
                      slope.at[i] * p_sum.at[i];
        store(dpq + (row * 2 + 1) * channels + c, d);
    }
}
