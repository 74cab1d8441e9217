// Dropout, whose masks follow from Philox4x32-10 alone, so that nobody has to keep them; see
// fastnn.backends.philox.

struct Words { unsigned v[4]; };

__device__ inline Words philox4x32(Words c, unsigned k0, unsigned k1)
{
    const unsigned A = 0xD2511F53u, B = 0xCD9E8D57u;
    asm volatile("" : "+r"(k0), "+r"(k1));  // or a loop around this would keep the keys of all rounds
#pragma unroll
    for (int round = 0; round < 10; round++) {
        c = Words{{__umulhi(B, c.v[2]) ^ c.v[1] ^ k0, B * c.v[2],
                   __umulhi(A, c.v[0]) ^ c.v[3] ^ k1, A * c.v[0]}};
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return c;
}

// The words of counter q of a sample belong to its units q, q + counters, q + 2 counters and
// q + 3 counters.
__device__ inline Words words_of(uint64 draw, uint64 key, unsigned n, unsigned q) {
    return philox4x32(
        Words{{q, n, unsigned(draw), unsigned(draw >> 32)}}, unsigned(key), unsigned(key >> 32));
}

__device__ inline bool is_minus_zero(float x) { return __float_as_uint(x) == 0x80000000u; }
__device__ inline bool is_minus_zero(double x) {
    return __double_as_longlong(x) == (long long)0x8000000000000000ull;
}

// An activation, and dropout behind it. A unit that is dropped is -0, and no other is, so that the
// way back needs no mask; NaN stays NaN, and infinity times 0 is that too.
template <typename T, typename Inner> struct Dropped : Inner {
    static constexpr bool DROPS = true;
    const uint64 draw, key, bound;
    __device__ explicit Dropped(const Between<T>& between)
        : Inner(between), draw(*between.draw), key(between.key), bound(between.bound) {}

    // Whether unit d of D of sample n is kept.
    __device__ bool is_kept(int n, int d, int D) const {
        const int counters = (D + 3) / 4;
        const int word = (d >= counters) + (d >= 2 * counters) + (d >= 3 * counters);
        const Words words = words_of(draw, key, n, d - word * counters);
        const unsigned mine =
            word == 0 ? words.v[0] : word == 1 ? words.v[1] : word == 2 ? words.v[2] : words.v[3];
        return mine >= bound;  // which may be 2^32
    }
    __device__ T marked(T x, bool is_kept) const {
        return is_kept ? x + T(0) : copysign(x * T(0), T(-1));
    }
    __device__ T backward(T kept, T dout) const {
        return Inner::backward(kept, is_minus_zero(kept) ? dout * T(0) : dout);
    }
};
