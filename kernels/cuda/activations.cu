// Activations and their gradients, which CuPy would make of several kernels: one thread an entry.
//
// `out` may be the same memory as what is read: a thread writes where it has read.

__device__ inline float hyperbolic_tangent(float x) { return tanhf(x); }
__device__ inline double hyperbolic_tangent(double x) { return tanh(x); }
__device__ inline float normal_distribution(float x) { return normcdff(x); }
__device__ inline double normal_distribution(double x) { return normcdf(x); }

// e^(-x*x/2) / sqrt(2 pi). What is lost when the square is rounded would be magnified by as much as
// it is large, so it is made up for; from 40 on, where the density is 0, it could be infinite.
template <typename T> __device__ T normal_density(T x) {
    T z = x > T(40) ? T(40) : x < T(-40) ? T(-40) : x;
    T square = z * z, lost = fma(z, z, -square);
    T power = exponential(square / T(-2));
    return fma(power, lost / T(-2), power) * T(0.398942280401432677939946);
}

template <typename T> __global__ void sigmoid(const T* x, T* out, int64 size) {
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i >= size) return;
    T e = exponential(-abs(x[i]));
    out[i] = (x[i] > T(0) ? T(1) : e) / (T(1) + e);
}

template <typename T> __global__ void sigmoid_backward(const T* dout, const T* y, T* out, int64 size) {
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) out[i] = dout[i] * (y[i] * (T(1) - y[i]));
}

template <typename T> __global__ void tanh_forward(const T* x, T* out, int64 size) {
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) out[i] = hyperbolic_tangent(x[i]);
}

template <typename T> __global__ void tanh_backward(const T* dout, const T* y, T* out, int64 size) {
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) out[i] = dout[i] * ((T(1) - y[i]) * (T(1) + y[i]));
}

template <typename T> __global__ void leaky_relu(const T* x, T slope, T* out, int64 size) {
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) out[i] = x[i] <= T(0) ? slope * x[i] : x[i];
}

template <typename T>
__global__ void leaky_relu_backward(const T* dout, const T* y, T slope, T* out, int64 size) {
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) out[i] = y[i] <= T(0) ? slope * dout[i] : dout[i];
}

template <typename T> __global__ void gelu(const T* x, T* out, int64 size) {
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) out[i] = x[i] * normal_distribution(x[i]);
}

template <typename T> __global__ void gelu_backward(const T* dout, const T* x, T* out, int64 size) {
    int64 i = int64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (i < size) out[i] = dout[i] * (normal_distribution(x[i]) + x[i] * normal_density(x[i]));
}
