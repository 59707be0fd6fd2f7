import { Page } from '../parts/Page.tsx'

export default function HintsPage() {
  return <Page path="hints">{null}</Page>
}
