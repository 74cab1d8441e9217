// The control block of many steps: `begin` starts them. `next_batch` and `keep_loss` stand around a
// step that runs as single operations of CuPy: they give it its rows and hyperparameters, and take
// its loss.

template <typename T>
__global__ void begin(
    Control<T>* control, const int64* rows, T* losses, T* numbers, int stride,
    uint64* const* draws, int draw_count,
    T n0, T n1, T n2, T n3, T n4, T n5, T n6, T n7)
{
    *control = Control<T>{rows, losses, numbers, draws, 0, 0, stride, draw_count};
    if (stride == 0) {
        const T same[] = {n0, n1, n2, n3, n4, n5, n6, n7};
        for (int i = 0; i < 8; i++) numbers[i] = same[i];
    }
}

template <typename T>
__global__ void next_batch(const Control<T>* control, int64* rows, int N, T* numbers, int count)
{
    int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n < count) numbers[n] = control->numbers[int64(control->step) * control->stride + n];
    if (n < N) rows[n] = control->rows[int64(control->step) * N + n];
}

template <typename T> __global__ void keep_loss(Control<T>* control, const T* loss)
{
    control->losses[control->step] = *loss;
    control->step++;
}
