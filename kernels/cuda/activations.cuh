// What a layer's sums go through: the activations of fastnn.backends.base, a type each.
//
//   forward       what comes out
//   KEEPS_INPUT   whether the way back reads what went in, and not what came out
//   backward      the gradient by what went in, of what is kept and the gradient by what came out
//
// All are made of the same record, `Between`, of which each reads its own. See dropout.cuh for what
// may lie around an activation: DROPS says whether it does.

// What stands between the sums of a layer and the layer behind it.
template <typename T> struct Between {
    T slope;             // of a leaky ReLU
    const uint64* draw;  // the number of the draw of its dropout, on the device
    uint64 key, bound;   // of the random numbers; the least of these that keeps a unit
};

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

template <typename T> struct Activation {
    static constexpr bool KEEPS_INPUT = false, DROPS = false;
    __device__ bool is_kept(int, int, int) const { return true; }
};

template <typename T> struct Identity : Activation<T> {
    __device__ explicit Identity(const Between<T>&) {}
    __device__ T forward(T x) const { return x; }
    __device__ T backward(T, T dout) const { return dout; }
};

// As in base.py: NaN is not <= 0, so it stays.
template <typename T> struct Relu : Activation<T> {
    __device__ explicit Relu(const Between<T>&) {}
    __device__ T forward(T x) const { return x <= T(0) ? T(0) : x; }
    __device__ T backward(T y, T dout) const { return y <= T(0) ? T(0) : dout; }
};

template <typename T> struct LeakyRelu : Activation<T> {
    const T slope;
    __device__ explicit LeakyRelu(const Between<T>& between) : slope(between.slope) {}
    __device__ T forward(T x) const { return x <= T(0) ? slope * x : x; }
    __device__ T backward(T y, T dout) const { return y <= T(0) ? slope * dout : dout; }
};

template <typename T> struct Sigmoid : Activation<T> {
    __device__ explicit Sigmoid(const Between<T>&) {}
    __device__ T forward(T x) const {
        T e = exponential(-abs(x));
        return (x > T(0) ? T(1) : e) / (T(1) + e);
    }
    __device__ T backward(T y, T dout) const { return dout * (y * (T(1) - y)); }
};

template <typename T> struct Tanh : Activation<T> {
    __device__ explicit Tanh(const Between<T>&) {}
    __device__ T forward(T x) const { return hyperbolic_tangent(x); }
    __device__ T backward(T y, T dout) const { return dout * ((T(1) - y) * (T(1) + y)); }
};

template <typename T> struct Gelu : Activation<T> {
    static constexpr bool KEEPS_INPUT = true;
    __device__ explicit Gelu(const Between<T>&) {}
    __device__ T forward(T x) const { return x * normal_distribution(x); }
    __device__ T backward(T x, T dout) const {
        return dout * (normal_distribution(x) + x * normal_density(x));
    }
};

// What a sum gives, and what of it is kept for the way back: the same number, unless KEEPS_INPUT.
template <typename T> struct Passed {
    T out, kept;
};

// A sum goes through what stands behind its layer; `is_kept` says whether dropout keeps it.
template <typename Behind, typename T>
__device__ Passed<T> pass(const Behind& behind, T sum, bool is_kept) {
    Passed<T> passed{behind.forward(sum), sum};
    if constexpr (Behind::DROPS)
        passed = {behind.marked(passed.out, is_kept), behind.marked(sum, is_kept)};
    if (!Behind::KEEPS_INPUT) passed.kept = passed.out;
    return passed;
}
