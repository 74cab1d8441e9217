// The control block of many steps: `begin` starts them. `next_batch` and `keep_loss` stand around a
// step that runs as single operations of CuPy: they give it its rows, and take its loss.

template <typename T>
__global__ void begin(Control<T>* control, const int64* rows, T* losses, T rate)
{
    *control = Control<T>{rows, losses, rate, 0, 0};
}

template <typename T> __global__ void next_batch(const Control<T>* control, int64* rows, int N)
{
    int n = blockIdx.x * blockDim.x + threadIdx.x;
    if (n < N) rows[n] = control->rows[int64(control->step) * N + n];
}

template <typename T> __global__ void keep_loss(Control<T>* control, const T* loss)
{
    control->losses[control->step] = *loss;
    control->step++;
}
