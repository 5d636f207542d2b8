// What every kernel shares. Before it stands what source.py writes for each dtype and size: Scalar, the type in memory;
// Real, the type that computes (float for the halves); VEC, the channels that a thread takes at once; and others.
//
// Grids and blocks have one dimension. A row kernel gives each row `lanes` threads (a power of two), which take its
// channels VEC at a time. No warp intrinsics: the tests run this source on the host. Built without contraction, so that
// a * b + c rounds as the plain formula does; where a fused multiply-add may be used, fma() says so. No sum depends on
// the order in which threads run.

typedef long long Int;  // sizes and offsets: arrays may pass 2^31 elements
constexpr int THREADS = 256;

struct Reals {
    Real at[VEC];
};

template <class T> struct alignas(sizeof(T) * VEC > 16 ? 16 : sizeof(T) * VEC) Pack {
    T at[VEC];
};

template <class T> __device__ Reals load(const T* from) {
    const Pack<T> pack = *reinterpret_cast<const Pack<T>*>(from);
    Reals x;
#pragma unroll
    for (int i = 0; i < VEC; ++i) x.at[i] = static_cast<Real>(pack.at[i]);
    return x;
}

template <class T> __device__ void store(T* to, const Reals& x) {
    Pack<T> pack;
#pragma unroll
    for (int i = 0; i < VEC; ++i) pack.at[i] = static_cast<T>(x.at[i]);
    *reinterpret_cast<Pack<T>*>(to) = pack;
}

__device__ inline Int lane_of(Int lanes) { return threadIdx.x % static_cast<unsigned>(lanes); }
__device__ inline Int rows_a_block(Int lanes) { return blockDim.x / static_cast<unsigned>(lanes); }
__device__ inline Int row_of(Int lanes) {
    return blockIdx.x * rows_a_block(lanes) + threadIdx.x / static_cast<unsigned>(lanes);
}

// Adds up a block's sums, two for each of the thread's channels from c on, into partial (2, C). Every thread calls it.
__device__ inline void add_up(const double (&sums)[2][VEC], Int c, Int channels, Int lanes, double* partial) {
    __shared__ double all[2][VEC][THREADS];
    for (int p = 0; p < 2; ++p)
        for (int i = 0; i < VEC; ++i) all[p][i][threadIdx.x] = sums[p][i];
    __syncthreads();
    if (threadIdx.x < lanes && c < channels)
        for (int p = 0; p < 2; ++p)
            for (int i = 0; i < VEC; ++i) {
                double total = 0;
                for (Int t = threadIdx.x; t < THREADS; t += lanes) total += all[p][i][t];
                partial[p * channels + c + i] = total;
            }
    __syncthreads();
}

// The maximum that every backend takes: of values of which one is NaN it is NaN, of equal ones the first wins.
__device__ inline bool beats(Real x, Real best) { return x > best || (x != x && best == best); }

// A gradient behind leaky_relu(scale * x + shift).
__device__ inline Real through_act(Real grad, Real x, Real scale, Real shift, Real negative_slope) {
    return fma(x, scale, shift) > 0 ? grad : grad * negative_slope;
}
