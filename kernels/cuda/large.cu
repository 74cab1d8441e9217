// What stands beside the products of cuBLAS in a step.
//
//   gather         the batch from the data set, cast and scaled: a block does WIDE features of a row
//   bias_gradient  sums of dout (N, M) over the samples; dout is taken back through ReLU first, if
//                  `h` (N, M) is there, which it gave. A block does WARP columns, its warps share
//                  the samples, so that 32 threads read 32 neighbours
//
// A thread adds N / COLUMN_WARPS numbers of a column with compensation (Kahan, 1965); the sums of
// the warps are added in order, whoever is first.

template <typename T, typename Data>
__global__ void gather(
    const Control<T>* control, const Data* data, int64 samples, T scale, T* x, int N, int D)
{
    const int n = blockIdx.x, d = blockIdx.y * blockDim.x + threadIdx.x;
    const int64 row = batch_of(control, control->step, N, samples)[n];
    if (d < D) x[int64(n) * D + d] = row < 0 ? not_a_number<T>() : T(data[row * D + d]) * scale;
}

template <typename T>
__global__ void __launch_bounds__(COLUMN_WARPS * WARP) bias_gradient(
    const T* h, T* dout, T* db, int64 N, int64 M)
{
    __shared__ T parts[COLUMN_WARPS][WARP];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const int64 m = int64(blockIdx.x) * WARP + lane, end = m < M ? N : 0;
    T sum = 0, lost = 0;
    for (int64 n0 = warp; n0 < end; n0 += ROWS_AT_ONCE * COLUMN_WARPS) {
        T d[ROWS_AT_ONCE], out[ROWS_AT_ONCE];  // all under way, before the first is used or written
#pragma unroll
        for (int j = 0; j < ROWS_AT_ONCE; j++) {
            const int64 n = n0 + j * COLUMN_WARPS, i = n * M + m;
            d[j] = n < end ? dout[i] : T(0);
            out[j] = h && n < end ? h[i] : T(1);
        }
#pragma unroll
        for (int j = 0; j < ROWS_AT_ONCE; j++) {
            const int64 n = n0 + j * COLUMN_WARPS;
            const T through = Relu<T>(Between<T>{}).backward(out[j], d[j]);
            if (h && n < end) dout[n * M + m] = through;
            const T term = through - lost, more = sum + term;
            lost = (more - sum) - term;
            sum = more;
        }
    }
    parts[warp][lane] = sum;
    __syncthreads();
    if (warp || m >= M) return;
    T total = 0;
    for (int other = 0; other < COLUMN_WARPS; other++) total += parts[other][lane];
    db[m] = total;
}
