// The loss by itself, for a last layer too wide for `head`, or the only one: scores are the sum of
// parts and bias; then the loss and its gradient. One warp a row, WARPS rows a block, any
// number of classes: dout holds the scores first, each lane reading back what it wrote.

template <typename T, typename Loss>
__global__ void __launch_bounds__(WARPS * WARP, 4) loss(
    Control<T>* control, const T* parts, int splits, const T* b,
    Targets<typename Loss::Target> targets, int64 samples, T* dout, T* losses, int N, int C)
{
    const int lane = threadIdx.x % WARP, n = blockIdx.x * WARPS + threadIdx.x / WARP;
    const int step = control->step;
    if (blockIdx.x == 0 && threadIdx.x == 0) control->step_last = step;
    if (n >= N) return;
    constexpr int CLASSES = 4;  // under way in a thread
    const Loss of_sample(targets, batch_of(control, step, N, samples)[n], C, lane);
    parts += int64(n) * C, dout += int64(n) * C;
    for (int c0 = lane; c0 < C; c0 += CLASSES * WARP) {
        T bias[CLASSES], sum[CLASSES];
        int64 place[CLASSES];
#pragma unroll
        for (int j = 0; j < CLASSES; j++) {
            int c = c0 + j * WARP;
            place[j] = c < C ? c : OUTSIDE;
            bias[j] = c < C ? b[c] : T(0);
        }
        sums_of_parts<4>(parts, splits, int64(N) * C, place, sum);
#pragma unroll
        for (int j = 0; j < CLASSES; j++)
            if (c0 + j * WARP < C) dout[c0 + j * WARP] = sum[j] + bias[j];
    }
    const T value = of_sample(dout, dout, C, T(N), lane);
    if (lane == 0) losses[n] = value;
}
