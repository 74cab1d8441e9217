// The end of the forward pass and the beginning of the backward pass, which no two rows share:
//
//   h = relu(sum of parts + b1);  scores = h @ W2 + b2;  softmax, loss, dout;  dh = dout @ W2.T
//
// One warp takes a row through all of it, so nothing waits but the lanes of a warp for each other.
//
//   grid    N / warps, `warps` warps a block; the block reads W2 once
//   shared  W2 (M rows of C | 1: an odd stride, so that lanes reading down a column, each its own
//           row, meet no bank conflict), and for each warp h (M) and its scores (C)
//   h       lanes go over its M units: parts are read along rows, whole sectors at a time
//   scores  lanes go over the C classes, every lane summing over k by itself
//   dh      lanes go over the M units again, every lane summing over the classes
//
// Written out: h, dout and dh, for the weight gradients, and the loss of the row.

template <typename T>
__global__ void head(
    Control<T>* control, const T* parts, int splits, const T* b1, int through_relu,
    const T* W2, const T* b2, const int64* labels, int64 samples,
    T* h, T* dout, T* dh, T* losses, int N, int M, int C)
{
    extern __shared__ __align__(16) unsigned char shared[];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
    const int n = blockIdx.x * warps + warp, stride = C | 1, step = control->step;
    T* w = (T*)shared;
    T* units = w + M * stride + warp * (M + C);
    T* scores = units + M;

    for (int i = threadIdx.x; i < M * C; i += blockDim.x) w[i / C * stride + i % C] = W2[i];
    __syncthreads();
    if (blockIdx.x == 0 && threadIdx.x == 0) control->step_last = step;
    if (n >= N) return;

    parts += int64(n) * M, h += int64(n) * M, dh += int64(n) * M, dout += int64(n) * C;
    for (int m = lane; m < M; m += WARP)
        h[m] = units[m] = whole(parts + m, splits, int64(N) * M, b1[m], through_relu);
    __syncwarp();
    for (int c = lane; c < C; c += WARP) {
        T sum = 0;
#pragma unroll 4
        for (int m = 0; m < M; m++) sum += units[m] * w[m * stride + c];
        scores[c] = sum + b2[c];
    }
    int64 row = batch_of(control, step, N, samples)[n], t = row < 0 ? -1 : labels[row];
    softmax_cross_entropy_row<T, false>(scores, scores, C, t, T(N), lane, losses + n);
    for (int c = lane; c < C; c += WARP) dout[c] = scores[c];
    __syncwarp();
    for (int m = lane; m < M; m += WARP) {
        T sum = 0;
#pragma unroll 4
        for (int c = 0; c < C; c++) sum += scores[c] * w[m * stride + c];
        dh[m] = through_relu ? relu_backward(units[m], sum) : sum;
    }
}
