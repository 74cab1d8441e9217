// The gradient by a layer's input: dx = dout @ W.T, taken back through dropout and activation, by
// what these have kept of x.
//
// dout (N, M), W (D, M): both are read along M, so both go to shared memory as [row][m] and are
// read 4 m at a time.
//
//   grid   (D / 64, N / 32), 128 threads, each with 4 rows x 4 columns of the 32 x 64 tile;
//          M goes by in steps of 32
//   banks  a row is padded by 16 bytes. A thread's columns are 16 apart, so that 16 neighbouring
//          threads read 16 neighbouring rows of w: 4 words each, 36 words apart, all banks once
//          for every 8 of them

template <typename T, typename Before>
__global__ void __launch_bounds__(THREADS, BLOCKS) back(
    const T* dout, const T* W, const T* kept, Between<T> between, T* dx, int N, int D, int M)
{
    constexpr int PAD = 16 / sizeof(T);
    __shared__ __align__(16) T a[ROWS][DEPTH + PAD];
    __shared__ __align__(16) T w[COLUMNS][DEPTH + PAD];
    const int thread = threadIdx.x, my_rows = thread / ACROSS * SIDE, my_column = thread % ACROSS;
    const int row0 = blockIdx.y * ROWS, column0 = blockIdx.x * COLUMNS;
    T sum[SIDE][SIDE] = {};

    for (int m0 = 0; m0 < M; m0 += DEPTH) {
#pragma unroll
        for (int j = 0; j < ROWS * DEPTH / THREADS; j++) {
            int i = thread + j * THREADS, r = i / DEPTH, m = i % DEPTH, n = row0 + r;
            a[r][m] = n < N && m0 + m < M ? dout[int64(n) * M + m0 + m] : T(0);
        }
#pragma unroll
        for (int j = 0; j < COLUMNS * DEPTH / THREADS; j++) {
            int i = thread + j * THREADS, c = i / DEPTH, m = i % DEPTH, d = column0 + c;
            w[c][m] = d < D && m0 + m < M ? W[int64(d) * M + m0 + m] : T(0);
        }
        __syncthreads();
#pragma unroll 2
        for (int m = 0; m < DEPTH; m += 4) {
            Four<T> across[SIDE];
#pragma unroll
            for (int r = 0; r < SIDE; r++) across[r] = *(const Four<T>*)&a[my_rows + r][m];
#pragma unroll
            for (int c = 0; c < SIDE; c++) {
                Four<T> down = *(const Four<T>*)&w[my_column + ACROSS * c][m];
#pragma unroll
                for (int i = 0; i < 4; i++)
#pragma unroll
                    for (int r = 0; r < SIDE; r++) sum[r][c] += across[r].v[i] * down.v[i];
            }
        }
        __syncthreads();
    }

    const Before before(between);
    T of_x[SIDE][SIDE];  // all of them are read before any dx is written, which might be the same memory
#pragma unroll
    for (int r = 0; r < SIDE; r++)
#pragma unroll
        for (int c = 0; c < SIDE; c++) {
            int n = row0 + my_rows + r, d = column0 + my_column + ACROSS * c;
            of_x[r][c] = kept[int64(min(n, N - 1)) * D + min(d, D - 1)];  // no branch
        }
#pragma unroll
    for (int r = 0; r < SIDE; r++)
#pragma unroll
        for (int c = 0; c < SIDE; c++) {
            int n = row0 + my_rows + r, d = column0 + my_column + ACROSS * c;
            if (n < N && d < D) dx[int64(n) * D + d] = before.backward(of_x[r][c], sum[r][c]);
        }
}
