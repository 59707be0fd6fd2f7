import { Page } from '../parts/Page.tsx'

export default function QueryPage() {
  return <Page path="query">{null}</Page>
}
