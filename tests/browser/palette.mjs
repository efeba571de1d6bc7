// Reduces a screenshot to a PNG of 256 colours, about a third of its size. Plain surfaces keep their colours exactly; rare shades
// of letter edges take the nearest colour, which is not visible.
import { crc32, deflateSync } from 'node:zlib'

/** Converts a PNG into an indexed PNG. `page`: any page, used to decode the PNG. */
export async function indexed(page, png) {
  const { width, height, palette, rows } = await page.evaluate(reduce, png.toString('base64'))
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 3, 0, 0, 0], 8) // eight bits a pixel, an index into the palette
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])
  const data = deflateSync(Buffer.from(rows, 'base64'), { level: 9, memLevel: 9 })
  return Buffer.concat([signature, chunk('IHDR', header), chunk('PLTE', Buffer.from(palette)), chunk('IDAT', data), chunk('IEND', Buffer.alloc(0))])
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const around = Buffer.alloc(8)
  around.writeUInt32BE(data.length, 0)
  around.writeUInt32BE(crc32(body), 4)
  return Buffer.concat([around.subarray(0, 4), body, around.subarray(4)])
}

/** Runs in the browser: returns the palette and the rows of palette indices, each after its filter type, 0 for none. */
async function reduce(base64) {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))
  const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }))
  const { width, height } = image
  const canvas = new OffscreenCanvas(width, height).getContext('2d')
  canvas.drawImage(image, 0, 0)
  const pixels = new Uint32Array(canvas.getImageData(0, 0, width, height).data.buffer)
  const counts = new Map()
  for (const pixel of pixels) counts.set(pixel, (counts.get(pixel) ?? 0) + 1)
  const channels = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255]
  const colours = [...counts].sort(([, a], [, b]) => b - a).map(([pixel]) => pixel)
  const palette = colours.slice(0, 256).map(channels)
  const nearest = (pixel) => {
    const [red, green, blue] = channels(pixel)
    const distances = palette.map(([r, g, b]) => (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2)
    return distances.indexOf(Math.min(...distances))
  }
  const places = new Map(colours.map((pixel, place) => [pixel, place < 256 ? place : nearest(pixel)]))
  const rows = new Uint8Array((width + 1) * height)
  pixels.forEach((pixel, at) => (rows[at + Math.floor(at / width) + 1] = places.get(pixel)))
  let text = ''
  for (let at = 0; at < rows.length; at += 0x8000) text += String.fromCharCode(...rows.subarray(at, at + 0x8000))
  return { width, height, palette: palette.flat(), rows: btoa(text) }
}
