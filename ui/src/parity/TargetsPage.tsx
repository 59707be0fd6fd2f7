import { Page } from '../parts/Page.tsx'

export default function TargetsPage() {
  return <Page path="targets">{null}</Page>
}
