// What needs the grammar of expressions, in one piece that is loaded with the editor.
export { readable } from './grammar.ts'
export { scoped } from './scope.ts'
export { metricsOf, unitOf, unitOfBuckets } from './units.ts'
