// Dropout: what is dropped follows from Philox4x32-10; see fastnn.backends.philox.
//
//   dropout: one thread a counter, which gives the words of up to four units of a sample.

struct Words { unsigned v[4]; };

__device__ Words philox4x32(Words c, unsigned k0, unsigned k1)
{
    const unsigned A = 0xD2511F53u, B = 0xCD9E8D57u;
#pragma unroll
    for (int round = 0; round < 10; round++) {
        c = Words{{__umulhi(B, c.v[2]) ^ c.v[1] ^ k0, B * c.v[2],
                   __umulhi(A, c.v[0]) ^ c.v[3] ^ k1, A * c.v[0]}};
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    return c;
}

// The words of counter q of a sample belong to its units q, q + counters, q + 2 counters and
// q + 3 counters. `bound` is the least word that is kept; it may be 2^32. The draw is read from the
// device, if it is there: so a captured step draws anew each time.
template <typename T>
__global__ void dropout(
    const T* x, uint64 step, const uint64* step_on_device, uint64 key, uint64 bound, T* y,
    bool* mask, int64 samples, int64 units)
{
    const int64 counters = (units + 3) / 4;
    const int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= samples * counters) return;
    const int64 n = i / counters, q = i % counters;
    if (step_on_device) step = *step_on_device;
    const Words words = philox4x32(
        Words{{unsigned(q), unsigned(n), unsigned(step), unsigned(step >> 32)}},
        unsigned(key), unsigned(key >> 32));
#pragma unroll
    for (int word = 0; word < 4; word++) {
        const int64 unit = word * counters + q;
        if (unit >= units) return;
        const bool kept = words.v[word] >= bound;
        mask[n * units + unit] = kept;
        y[n * units + unit] = x[n * units + unit] * T(kept);
    }
}
