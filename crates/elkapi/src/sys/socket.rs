//! What the kernel knows of a TCP connection.

use std::os::fd::{AsRawFd, BorrowedFd};

/// Bytes of ours that the peer's kernel has acknowledged, the opening handshake counted as one;
/// `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn acknowledged(socket: BorrowedFd<'_>) -> Option<u64> {
    // Where `tcpi_bytes_acked` stands in the kernel's `struct tcp_info`; the C library's struct ends
    // before it. The kernel only ever appends to it.
    const BYTES_ACKED: usize = 120;
    let mut room = [0u8; 256];
    let mut length = room.len() as libc::socklen_t;
    // SAFETY: `room` and `length` are alive, and the kernel writes at most `length` bytes.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            room.as_mut_ptr().cast(),
            &mut length,
        )
    };
    if status != 0 || (length as usize) < BYTES_ACKED + 8 {
        return None;
    }
    let bytes = room.get(BYTES_ACKED..BYTES_ACKED + 8)?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

/// As above; not told here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn acknowledged(socket: BorrowedFd<'_>) -> Option<u64> {
    let _ = socket.as_raw_fd();
    None
}
