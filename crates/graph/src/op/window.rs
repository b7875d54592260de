//! Attributes of operators that slide a window over height and width.

/// Two spatial numbers: height (rows) first, then width (columns).
pub type Hw = [usize; 2];

/// A sliding window over the two spatial dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Extent of the window.
    pub kernel: Hw,
    /// Step between windows, at least 1.
    pub strides: Hw,
    /// Step between taps of a window, at least 1.
    pub dilations: Hw,
    /// Zeros added at top, left, bottom, right.
    pub pads: [usize; 4],
}

impl Window {
    /// A window without padding or dilation.
    pub fn new(kernel: Hw, strides: Hw) -> Window {
        Window { kernel, strides, dilations: [1, 1], pads: [0; 4] }
    }

    /// A square window padded by `kernel / 2` on each side: same size at stride 1.
    pub fn same(kernel: usize, stride: usize) -> Window {
        let pads = [kernel / 2; 4];
        Window { pads, ..Window::new([kernel; 2], [stride; 2]) }
    }
}

/// Attributes of a convolution. Inputs: x `[n, c, h, w]`, weight `[m, c/groups, kh, kw]`,
/// optional bias `[m]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Kernel extent, strides, dilations, padding.
    pub window: Window,
    /// Number of groups that input and output channels are divided into; `c` for depthwise.
    pub groups: usize,
}

/// Attributes of a pooling operator. Input: x `[n, c, h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Kernel extent, strides, dilations, padding.
    pub window: Window,
    /// Whether a window that starts inside the padded input but ends outside still counts.
    pub ceil_mode: bool,
    /// Average pooling only: whether padding counts in the divisor.
    pub count_include_pad: bool,
}

impl Pool {
    /// Whether the padding is too narrow to hold a window alone: each window meets data.
    pub fn meets_data(&self) -> bool {
        let ([top, left, bottom, right], [height, width]) = (self.window.pads, self.window.kernel);
        !self.ceil_mode && top.max(bottom) < height && left.max(right) < width
    }
}

/// Attributes of a transposed convolution (the gradient of a convolution with respect to its
/// input). Inputs: x `[n, c, h, w]`, weight `[c, m/groups, kh, kw]`, optional bias `[m]`.
/// Output extent: `stride * (size - 1) + output_padding + dilation * (kernel - 1) + 1 - pads`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvTranspose {
    /// Kernel extent, strides, dilations; `pads` are cut from the result.
    pub window: Window,
    /// Number of groups that input and output channels are divided into.
    pub groups: usize,
    /// Rows and columns added at the bottom and right, which only the bias and the overlap reach.
    pub output_padding: Hw,
}
