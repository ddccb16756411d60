//! Pictures: real PNGs of the asked ratio and size, the same for the same prompt.
//!
//! A tinted gradient with an eight by eight pattern on it. It has at most eight different rows,
//! so that even 4K takes little time to make. Pure.

use png::{BitDepth, ColorType, Compression, Encoder, Filter, chunk::ChunkType};

use crate::clock::mix;

/// The ratios that the gateway's image models know.
const RATIOS: [(&str, u32, u32); 14] = [
    ("1:1", 1, 1),
    ("2:3", 2, 3),
    ("3:2", 3, 2),
    ("3:4", 3, 4),
    ("4:3", 4, 3),
    ("4:5", 4, 5),
    ("5:4", 5, 4),
    ("9:16", 9, 16),
    ("16:9", 16, 9),
    ("21:9", 21, 9),
    ("1:4", 1, 4),
    ("4:1", 4, 1),
    ("1:8", 1, 8),
    ("8:1", 8, 1),
];

/// Cells of the pattern in each direction.
const CELLS: u32 = 8;

/// Width and height in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Which option the image model does not understand.
#[derive(Debug, PartialEq)]
pub(crate) enum Unknown {
    AspectRatio,
    ImageSize,
}

/// The size for the two options of a request: about the area of a square whose side is 512,
/// 1024, 2048 or 4096, with the ratio kept exactly.
pub(crate) fn size(aspect_ratio: &str, image_size: &str) -> Result<Size, Unknown> {
    let side: u32 = match image_size {
        "512" => 512,
        "1K" => 1_024,
        "2K" => 2_048,
        "4K" => 4_096,
        _ => return Err(Unknown::ImageSize),
    };
    let (_, across, down) =
        RATIOS.into_iter().find(|(name, ..)| *name == aspect_ratio).ok_or(Unknown::AspectRatio)?;
    let unit = (f64::from(side) / f64::from(across * down).sqrt()).round() as u32;
    Ok(Size { width: across * unit, height: down * unit })
}

/// Draws the picture for `seed` as PNG. With `at_least` the file is filled up to about so many
/// bytes, for tests that need a large one. `None` if the encoder refuses.
pub(crate) fn draw(seed: u64, size: Size, at_least: usize) -> Option<Vec<u8>> {
    let mut file = Vec::with_capacity(at_least.max(64 * 1024));
    let mut encoder = Encoder::new(&mut file, size.width, size.height);
    encoder.set_color(ColorType::Rgb);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_compression(Compression::Fastest);
    // Nearly all rows equal the one above, which this filter turns into zeros.
    encoder.set_filter(Filter::Up);
    let mut writer = encoder.write_header().ok()?;
    let filler = at_least.saturating_sub(size.width as usize * 3);
    if filler > 0 {
        // A private chunk that no decoder looks at.
        writer.write_chunk(ChunkType(*b"flLr"), &noise(seed, filler)).ok()?;
    }
    let mut pixels = writer.stream_writer_with_size(256 * 1024).ok()?;
    let rows: Vec<Vec<u8>> = (0..CELLS).map(|cell| row(seed, size.width, cell)).collect();
    for y in 0..size.height {
        std::io::Write::write_all(&mut pixels, &rows[(y * CELLS / size.height) as usize]).ok()?;
    }
    pixels.finish().ok()?;
    writer.finish().ok()?;
    Some(file)
}

/// One row of pixels through the cells of that line.
fn row(seed: u64, width: u32, line: u32) -> Vec<u8> {
    let bits = mix(seed ^ u64::from(line));
    let tint = mix(seed).to_le_bytes();
    let mut row = Vec::with_capacity(width as usize * 3);
    for x in 0..width {
        let cell = x * CELLS / width;
        // Mirrored, because the eye takes symmetry for a picture.
        let on = bits >> cell.min(CELLS - 1 - cell) & 1 == 1;
        let light = (x * 200 / width) as u8;
        row.extend(tint[..3].iter().map(|tint| if on { tint ^ light } else { 255 - light / 2 }));
    }
    row
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 8);
    let mut state = seed;
    while bytes.len() < length {
        state = mix(state);
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_keep_the_ratio_and_come_near_the_area() {
        for (name, across, down) in RATIOS {
            for (image_size, side) in [("512", 512u64), ("1K", 1_024), ("2K", 2_048), ("4K", 4_096)] {
                let size = size(name, image_size).unwrap();
                assert_eq!(size.width * down, size.height * across, "{name} {image_size}");
                let area = u64::from(size.width) * u64::from(size.height);
                assert!(area.abs_diff(side * side) * 20 < side * side, "{name} {image_size}: {size:?}");
            }
        }
    }

    #[test]
    fn unknown_options_are_told_apart() {
        assert_eq!(size("1:1", "2k"), Err(Unknown::ImageSize));
        assert_eq!(size("16x9", "2K"), Err(Unknown::AspectRatio));
    }
}
