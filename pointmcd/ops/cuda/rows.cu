// Gathering rows, and adding them up.

// out (R, C): row r = sum over e in [starts[r], starts[r + 1]) of value[e] * table[index[e]]; without WEIGHTED, value is 1.
// Backward passes that scatter come here too, with their entries sorted by destination: no atomics, one order of sums.
extern "C" __global__ void __launch_bounds__(THREADS)
    sum_rows(const Scalar* __restrict__ table, const Int* __restrict__ index, const Scalar* __restrict__ value,
             const Int* __restrict__ starts, Scalar* __restrict__ out, Int rows, Int table_rows, Int channels, Int lanes) {
    const Int row = row_of(lanes);
    if (row >= rows) return;
    const Int first = starts[row], last = starts[row + 1];
    for (Int c = lane_of(lanes) * VEC; c < channels; c += lanes * VEC) {
        Reals sum{};
#pragma unroll 4
        for (Int e = first; e < last; ++e) {
            assert(0 <= index[e] && index[e] < table_rows);
            const Reals x = load(table + index[e] * channels + c);
            const Real w = WEIGHTED ? static_cast<Real>(value[e]) : Real(1);
#pragma unroll
            for (int i = 0; i < VEC; ++i) sum.at[i] = fma(w, x.at[i], sum.at[i]);
        }
        store(out + row * channels + c, sum);
    }
}

// out (B, M, k, C) = per_point[index] - per_center, a row for each of the B * M * k members.
extern "C" __global__ void __launch_bounds__(THREADS)
    group(const Scalar* __restrict__ per_point, const Scalar* __restrict__ per_center, const Int* __restrict__ index,
          Scalar* __restrict__ out, Int rows, Int points, Int centers, Int k, Int channels, Int lanes) {
    const Int row = row_of(lanes);
    if (row >= rows) return;
    const Int center = row / k, from = index[row];
    assert(0 <= from && from < points);
    const Scalar* point = per_point + (center / centers * points + from) * channels;
    for (Int c = lane_of(lanes) * VEC; c < channels; c += lanes * VEC) {
        Reals x = load(point + c);
        const Reals y = load(per_center + center * channels + c);
#pragma unroll
        for (int i = 0; i < VEC; ++i) x.at[i] -= y.at[i];
        store(out + row * channels + c, x);
    }
}
