// The control block of many steps: `begin` starts them. `next_batch` and `keep_loss` stand around a
// step that runs as single operations of CuPy: they give it its rows and hyperparameters, and take
// its loss.

template <typename T>
__global__ void begin(Control<T>* control, const int64* rows, T* losses, const T* numbers)
{
    *control = Control<T>{rows, losses, numbers, 0, 0};
}

template <typename T>
__global__ void next_batch(const Control<T>* control, int64* rows, int N, T* numbers, int count)
{
    int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n < count) numbers[n] = control->numbers[int64(control->step) * count + n];
    if (n < N) rows[n] = control->rows[int64(control->step) * N + n];
}

template <typename T> __global__ void keep_loss(Control<T>* control, const T* loss)
{
    control->losses[control->step] = *loss;
    control->step++;
}
