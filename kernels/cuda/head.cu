// The end of the forward pass and the beginning of the backward pass, which no two rows share:
//
//   h = activation and dropout of (sum of parts + b1);  scores = h @ W2 + b2;  the loss and dout;
//   dh = dout @ W2.T, taken back through dropout and activation
//
// Warps take a row through all of it, each a slice of `depth` of its M units: one warp where there
// are few, several where one would take long.
//
//   grid    N / rows; a block has `rows` rows of threads, of `slices` warps each; it reads W2 once
//   shared  W2 (M rows of C | 1: an odd stride, so that lanes reading down a column, each its own
//           row, meet no bank conflict), and for each row h (M) and `slices` times C scores
//   h       lanes go over the units of the slice: parts are read along rows, whole sectors at a time
//   scores  lanes go over the C classes, every lane summing over the slice by itself; the first warp
//           of the row adds the slices up, from first to last, and does the loss
//   dh      lanes go over the units of the slice again, every lane summing over the classes
//
// What comes from memory is asked for long before it is needed: `control` with the parts, the number
// of the sample with W2, its target while scores are summed.
//
// Written out: h, dout and dh, for the weight gradients, and the loss of the row. `kept` is for an
// activation whose way back reads what went in: each lane reads back what it wrote.

template <typename T, typename Before, typename Loss>
__global__ void __launch_bounds__(MOST_WARPS * WARP, 1) head(
    Control<T>* control, const T* parts, int splits, const T* b1, Between<T> between,
    const T* W2, const T* b2, Targets<typename Loss::Target> targets, int64 samples,
    T* h, T* kept, T* dout, T* dh, T* losses, int N, int M, int C, int depth)
{
    extern __shared__ __align__(16) unsigned char shared[];
    constexpr int UNITS = 2, PARTS = 64 / sizeof(T), WEIGHTS = 8;  // under way together in a thread
    const int lane = threadIdx.x % WARP, slice = threadIdx.x / WARP, slices = blockDim.x / WARP;
    const int row = threadIdx.y, rows = blockDim.y, n = blockIdx.x * rows + row;
    const int thread = row * blockDim.x + threadIdx.x, threads = rows * blockDim.x;
    const int first = slice * depth, last = n < N ? min(first + depth, M) : first, stride = C | 1;
    T* w = (T*)shared;
    T* units = w + M * stride + row * M;
    T* scores = w + M * stride + rows * M + row * slices * C;
    const int step = control->step;
    const Batch batch = batch_of(control, step, N, samples);
    const Before before(between);
    const T my_b2 = lane < C ? b2[lane] : T(0);

    parts += int64(n) * M, h += int64(n) * M, dh += int64(n) * M, dout += int64(n) * C;
    if constexpr (Before::KEEPS_INPUT) kept += int64(n) * M;
    for (int m0 = first + lane; m0 < last; m0 += UNITS * WARP) {
        T bias[UNITS], sum[UNITS];
        int64 place[UNITS];
#pragma unroll
        for (int j = 0; j < UNITS; j++) {
            int m = m0 + j * WARP;
            place[j] = m < last ? m : OUTSIDE;
            bias[j] = m < last ? b1[m] : T(0);
        }
        sums_of_parts<PARTS>(parts, splits, int64(N) * M, place, sum);
#pragma unroll
        for (int j = 0; j < UNITS; j++)
            if (place[j] >= 0) units[place[j]] = sum[j] + bias[j];
    }
#pragma unroll 1
    for (int m = first + lane; m < last; m += WARP) {
        const Passed<T> passed = pass(before, units[m], before.is_kept(n, m, M));
        h[m] = units[m] = passed.out;
        if constexpr (Before::KEEPS_INPUT) kept[m] = passed.kept;
    }

    const int64 sample = n < N ? batch[n] : NO_SAMPLE;
    const int down = threads / C, across = threads % C;  // to the next entry of a thread
    int m = thread / C, c = thread % C;
    for (int i0 = thread; i0 < M * C; i0 += WEIGHTS * threads) {
        T some[WEIGHTS];
#pragma unroll
        for (int j = 0; j < WEIGHTS; j++) {
            int i = i0 + j * threads;
            some[j] = i < M * C ? W2[i] : T(0);
        }
#pragma unroll
        for (int j = 0; j < WEIGHTS; j++) {
            if (m < M) w[m * stride + c] = some[j];
            m += down, c += across;
            if (c >= C) m++, c -= C;
        }
    }
    __syncthreads();
    const Loss loss(targets, sample, C, lane);
    if (blockIdx.x == 0 && thread == 0) control->step_last = step;
    for (int c = lane; c < C; c += WARP) {
        T sum = 0;
#pragma unroll 4
        for (int m = first; m < last; m++) sum += units[m] * w[m * stride + c];
        scores[slice * C + c] = sum;
    }
    __syncthreads();
    if (slice == 0 && n < N) {
        for (int c = lane; c < C; c += WARP) {
            T sum = scores[c];
            for (int other = 1; other < slices; other++) sum += scores[other * C + c];
            scores[c] = sum + (c == lane ? my_b2 : b2[c]);
        }
        const T value = loss(scores, scores, C, T(N), lane);
        if (lane == 0) losses[n] = value;
        for (int c = lane; c < C; c += WARP) dout[c] = scores[c];
    }
    __syncthreads();
    for (int m = first + lane; m < last; m += WARP) {
        T sum = 0;
#pragma unroll 4
        for (int c = 0; c < C; c++) sum += scores[c] * w[m * stride + c];
        dh[m] = before.backward(Before::KEEPS_INPUT ? kept[m] : units[m], sum);
    }
}
