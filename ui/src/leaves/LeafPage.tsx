import { Page } from '../parts/Page.tsx'

export default function LeafPage() {
  return <Page path="leaf">{null}</Page>
}
