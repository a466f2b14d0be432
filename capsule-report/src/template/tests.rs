use super::{Medium, TemplateError, render};
use crate::support;
use crate::{Options, Report};

fn rendered(template: &str, medium: Medium) -> Result<String, TemplateError> {
    let mut made = support::sample();
    made.metadata.cwd = b"/x\xff\x1b[2J<b>*".as_slice().into();
    let options = Options { color: true, ..Options::default() };
    let report = Report::assemble(&made.view(5000), &options);
    let mut out = Vec::new();
    render(template, medium, &report, &options, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn what_a_template_prints_is_escaped_for_its_medium() {
    let of = |medium| rendered("{{ session.cwd }}", medium).unwrap();
    assert_eq!(of(Medium::Terminal), "/x\\xff\\e[2J<b>*");
    assert_eq!(of(Medium::Html), "/x\\xff\\e[2J&lt;b&gt;*");
    assert_eq!(of(Medium::Markdown), "/x\\\\xff\\\\e\\[2J&lt;b&gt;\\*");
    assert_eq!(rendered("{{ session.cwd|fit(5) }}", Medium::Html).unwrap(), "/x\\x…");
}

#[test]
fn a_users_template_sees_the_model_and_may_loop_over_processes() {
    let text =
        rendered("{% for p in processes if p.workflow %}{{ p.proc }}:{{ p.tool }} {% endfor %}", Medium::Terminal);
    assert_eq!(text.unwrap(), "2:find 4:git 5:curl ");
    let text = rendered(
        "{{ totals.processes|plural('process', 'processes') }} in {{ session.duration|duration }}",
        Medium::Html,
    );
    assert_eq!(text.unwrap(), "5 processes in 5.0 s");
    assert!(!rendered("{{ tree }}", Medium::Html).unwrap().contains('\u{1b}'));
}

#[test]
fn a_wrong_template_says_where() {
    let error = rendered("line\n{% for x in %}", Medium::Terminal).unwrap_err();
    assert!(matches!(error, TemplateError::Template { line: 2, .. }), "{error:?}");
    assert_eq!(error.to_string(), "template fails at line 2");
    assert!(rendered("{{ 1|nonsense }}", Medium::Terminal).is_err());
    assert_eq!(rendered("[{{ nothing.at.all }}]", Medium::Terminal).unwrap(), "[]");
}

#[test]
fn a_writer_that_fails_is_no_fault_of_the_template() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let options = Options::default();
    let report = Report::assemble(&support::sample().view(5000), &options);
    let error = crate::human(&report, &options, &mut Full).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}
