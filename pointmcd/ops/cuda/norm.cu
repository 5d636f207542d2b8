// Batch norm and an activation over rows (R, C): sums in double, and what is done to each element. A ceiling that is not a
// number is none: nothing reaches it.

__device__ inline Real through_capped(Real grad, Real x, Real scale, Real shift, Real negative_slope, Real ceiling) {
    return fma(x, scale, shift) >= ceiling ? Real(0) : through_act(grad, x, scale, shift, negative_slope);
}

// Sums over this block's `step` rows of pair(row, c, i, a, b), which adds to both sums of channel c + i.
template <class Pair> __device__ void sum_pairs(Int rows, Int channels, Int step, Int lanes, double* partial, Pair pair) {
    const Int first = blockIdx.x * step, last = first + step < rows ? first + step : rows;
    const Int row = first + threadIdx.x / static_cast<unsigned>(lanes);
    for (Int c0 = 0; c0 < channels; c0 += lanes * VEC) {
        const Int c = c0 + lane_of(lanes) * VEC;
        double sums[2][VEC] = {};
        if (c < channels)
            for (Int r = row; r < last; r += rows_a_block(lanes)) pair(r * channels + c, c, sums);
        add_up(sums, c, channels, lanes, partial + blockIdx.x * 2 * channels);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    channel_sums(const Scalar* __restrict__ x, double* __restrict__ partial, Int rows, Int channels, Int step, Int lanes) {
    sum_pairs(rows, channels, step, lanes, partial, [=](Int at, Int, double(&sums)[2][VEC]) {
        const Reals v = load(x + at);
#pragma unroll
        for (int i = 0; i < VEC; ++i) {
            const double wide = v.at[i];
            sums[0][i] += wide;
            sums[1][i] = fma(wide, wide, sums[1][i]);
        }
    });
}

extern "C" __global__ void __launch_bounds__(THREADS)
    affine_act_sums(const Scalar* __restrict__ grad, const Scalar* __restrict__ x, const Real* __restrict__ scale,
                    const Real* __restrict__ shift, double* __restrict__ partial, double negative_slope, double ceiling,
                    Int rows, Int channels, Int step, Int lanes) {
    const Real slope = static_cast<Real>(negative_slope), most = static_cast<Real>(ceiling);
    sum_pairs(rows, channels, step, lanes, partial, [=](Int at, Int c, double(&sums)[2][VEC]) {
        const Reals v = load(x + at), g = load(grad + at), a = load(scale + c), b = load(shift + c);
#pragma unroll
        for (int i = 0; i < VEC; ++i) {
            const double wide = through_capped(g.at[i], v.at[i], a.at[i], b.at[i], slope, most);
            sums[0][i] += wide;
            sums[1][i] = fma(wide, static_cast<double>(v.at[i]), sums[1][i]);
        }
    });
}

extern "C" __global__ void __launch_bounds__(THREADS)
    affine_act(const Scalar* __restrict__ x, const Real* __restrict__ scale, const Real* __restrict__ shift,
               Scalar* __restrict__ y, double negative_slope, double ceiling, Int rows, Int channels, Int lanes) {
    const Int row = row_of(lanes);
    if (row >= rows) return;
    const Real slope = static_cast<Real>(negative_slope), most = static_cast<Real>(ceiling);
    for (Int c = lane_of(lanes) * VEC; c < channels; c += lanes * VEC) {
        Reals v = load(x + row * channels + c);
        const Reals a = load(scale + c), b = load(shift + c);
#pragma unroll
        for (int i = 0; i < VEC; ++i) {
            const Real u = fma(v.at[i], a.at[i], b.at[i]);
            const Real acted = u > 0 ? u : u * slope;
            v.at[i] = acted >= most ? most : acted;
        }
        store(y + row * channels + c, v);
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    affine_act_backward(const Scalar* __restrict__ grad, const Scalar* __restrict__ x, const Real* __restrict__ scale,
                        const Real* __restrict__ shift, const Real* __restrict__ slope, const Real* __restrict__ offset,
                        Scalar* __restrict__ dx, double negative_slope, double ceiling, Int rows, Int channels,
                        Int lanes) {
    const Int row = row_of(lanes);
    if (row >= rows) return;
    const Real act_slope = static_cast<Real>(negative_slope), most = static_cast<Real>(ceiling);
    for (Int c = lane_of(lanes) * VEC; c < channels; c += lanes * VEC) {
        const Reals v = load(x + row * channels + c), g = load(grad + row * channels + c);
        const Reals a = load(scale + c), b = load(shift + c), s = load(slope + c), o = load(offset + c);
        Reals d;
#pragma unroll
        for (int i = 0; i < VEC; ++i)
            d.at[i] = fma(through_capped(g.at[i], v.at[i], a.at[i], b.at[i], act_slope, most), a.at[i],
                          fma(v.at[i], s.at[i], o.at[i]));
        store(dx + row * channels + c, d);
    }
}
