// Activations and their gradients by themselves: one thread an entry.
//
// `out` may be the same memory as what is read: a thread writes where it has read.

template <typename T, typename Activation>
__global__ void activate(const T* x, Between<T> between, T* out, int64 size) {
    const int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) out[i] = Activation(between).forward(x[i]);
}

template <typename T, typename Activation>
__global__ void activate_backward(
    const T* dout, const T* kept, Between<T> between, T* out, int64 size)
{
    const int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) out[i] = Activation(between).backward(kept[i], dout[i]);
}
