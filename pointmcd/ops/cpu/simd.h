// What vector types cannot say: a fused multiply-add, which lanes of a comparison are true, and the sum of all lanes.
#pragma once
#include "common.h"
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return _mm512_fmadd_pd(a, b, c); }
inline unsigned lane_bits(IndexVec<float> m) { return _mm512_movepi32_mask((__m512i)m); }
inline unsigned lane_bits(IndexVec<double> m) { return _mm512_movepi64_mask((__m512i)m); }
inline float lane_sum(Vec<float> v) { return _mm512_reduce_add_ps(v); }
inline double lane_sum(Vec<double> v) { return _mm512_reduce_add_pd(v); }
#elif defined(__AVX__) && defined(__FMA__)
inline Vec<float> fma(Vec<float> a, Vec<float> b, Vec<float> c) { return _mm256_fmadd_ps(a, b, c); }
inline Vec<double> fma(Vec<double> a, Vec<double> b, Vec<double> c) { return _mm256_fmadd_pd(a, b, c); }
inline unsigned lane_bits(IndexVec<float> m) { return _mm256_movemask_ps((__m256)m); }
inline unsigned lane_bits(IndexVec<double> m) { return _mm256_movemask_pd((__m256d)m); }
#else
template <class V> inline V fma(V a, V b, V c) { return a * b + c; }
template <class M> inline unsigned lane_bits(M m) {
    unsigned bits = 0;
    for (unsigned i = 0; i < sizeof(M) / sizeof(m[0]); ++i) bits |= (m[i] ? 1u : 0u) << i;
    return bits;
}
#endif
// Writes which lanes are true, counted from `first`, to `to`, which has room for all of them; gives how many.
template <class T> inline int append_true(IndexVec<T> m, int64_t first, int32_t* to) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
        const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        const __m512i index = _mm512_add_epi32(lanes, _mm512_set1_epi32(static_cast<int32_t>(first)));
        const unsigned bits = lane_bits(m);
        _mm512_storeu_si512(to, _mm512_maskz_compress_epi32(static_cast<__mmask16>(bits), index));
        return __builtin_popcount(bits);
    }
#endif
    int count = 0;
    for (unsigned bits = lane_bits(m); bits; bits &= bits - 1)
        to[count++] = static_cast<int32_t>(first + __builtin_ctz(bits));
    return count;
}

#if !defined(__AVX512F__)
template <class V> inline auto lane_sum(V v) {
    for (int width = sizeof(V) / sizeof(v[0]) / 2; width; width /= 2)
        for (int i = 0; i < width; ++i) v[i] += v[i + width];
    return v[0];
}
#endif
