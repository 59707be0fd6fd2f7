import { Page } from '../parts/Page.tsx'

export default function QueriesPage() {
  return <Page path="queries">{null}</Page>
}
