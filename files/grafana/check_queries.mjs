// Parse every LogQL query of the dashboards FILE... as Grafana's editor does; exit code 1 when one has an error.
import { readFileSync } from 'node:fs'
import { parser } from '@grafana/lezer-logql'

// What Grafana puts in before it asks; other variables stand in strings, where the grammar takes them as they are.
const DURATIONS = /\$__(auto|interval|range)\b/g

function* queries(node) {
  if (node === null || typeof node !== 'object') return
  if (typeof node.expr === 'string') yield node.expr
  for (const child of Object.values(node)) yield* queries(child)
}

let checked = 0
let wrong = 0
for (const file of process.argv.slice(2)) {
  for (const written of queries(JSON.parse(readFileSync(file, 'utf8')))) {
    const query = written.replace(DURATIONS, '5m')
    checked += 1
    parser.parse(query).iterate({
      enter: ({ type, from }) => {
        if (!type.isError) return true
        wrong += 1
        console.error(`${file}: error at ${JSON.stringify(query.slice(from, from + 30))} of ${query}`)
        return false
      },
    })
  }
}
console.log(`${checked} LogQL queries, ${wrong} errors`)
process.exit(wrong || !checked ? 1 : 0)
