// The two things that vector types cannot say: a fused multiply-add, and which lanes of a comparison are true.
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
