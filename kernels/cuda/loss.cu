// The loss by itself, for a last layer too wide for `head`, or the only one: scores are the sum of
// parts and bias; then softmax, cross-entropy and gradient. One warp a row, WARPS rows a block, any
// number of classes: dout holds the scores first, each lane reading back what it wrote.

template <typename T>
__global__ void __launch_bounds__(WARPS * WARP, 4) loss(
    Control<T>* control, const T* parts, int splits, const T* b,
    const int64* labels, int64 samples, T* dout, T* losses, int N, int C)
{
    const int lane = threadIdx.x % WARP, n = blockIdx.x * WARPS + threadIdx.x / WARP;
    const int step = control->step;
    if (blockIdx.x == 0 && threadIdx.x == 0) control->step_last = step;
    if (n >= N) return;
    parts += int64(n) * C, dout += int64(n) * C;
    for (int c = lane; c < C; c += WARP)
        dout[c] = whole(parts + c, splits, int64(N) * C, b[c], false);
    int64 row = batch_of(control, step, N, samples)[n], t = row < 0 ? -1 : labels[row];
    softmax_cross_entropy_row<T, false>(dout, dout, C, t, T(N), lane, losses + n);
}
