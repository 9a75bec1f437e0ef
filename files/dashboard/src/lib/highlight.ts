/** Where a search text stands in a line. */

export interface Piece {
  text: string
  found: boolean
}

/** A line cut at every occurrence of `needle` (upper and lower case alike); one piece when there is none. */
export function highlight(line: string, needle: string): Piece[] {
  const wanted = needle.trim()
  if (wanted === '') return [{ text: line, found: false }]
  const literal = wanted.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return line
    .split(new RegExp(`(${literal})`, 'iu'))
    .map((text, index) => ({ text, found: index % 2 === 1 }))
    .filter(piece => piece.text !== '')
}
