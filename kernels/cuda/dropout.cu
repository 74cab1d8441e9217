// Dropout by itself, with a mask: one thread a counter, which gives the words of up to four units of
// a sample.

// `bound` is the least word that is kept; it may be 2^32. The draw is read from the device, if it is
// there: so a captured step draws anew each time.
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
    const Words words = words_of(step, key, unsigned(n), unsigned(q));
#pragma unroll
    for (int word = 0; word < 4; word++) {
        const int64 unit = word * counters + q;
        if (unit >= units) return;
        const bool kept = words.v[word] >= bound;
        mask[n * units + unit] = kept;
        y[n * units + unit] = x[n * units + unit] * T(kept);
    }
}
