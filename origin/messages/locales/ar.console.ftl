
### لوحة الإدارة

## كل صفحات لوحة الإدارة

console-actions = الإجراءات
console-active = نشط
console-admin-badge = مسؤول
console-all = الكل
console-cancel = إلغاء الأمر
console-client = العميل
console-created = تاريخ الإنشاء
console-details = التفاصيل
console-disable = تعطيل
console-disabled = معطّل
console-edit = تعديل
console-edit-name = تعديل { $name }
console-enable = تفعيل
console-filter = تصفية
console-name = الاسم
console-name-hint = يراه المستخدمون في صفحة الموافقة.
console-never = أبدًا
console-none = لا شيء
console-not-set = غير محدد
console-reason = السبب
console-reason-hint = يُسجَّل في سجل التدقيق. اختياري.
console-remove = إزالة
console-remove-name = إزالة { $name }
console-revoke = إلغاء
console-save = حفظ
console-scope = النطاق
console-status = الحالة
console-user = المستخدم
console-view-all = عرض الكل

## نظرة عامة

overview-lead = نشاط آخر 60 دقيقة، وحالة الحواف والمفاتيح.
overview-refresh = تحديث
overview-hour-ago = قبل 60 دقيقة
overview-issued = الرموز المصدرة
overview-refused = الطلبات المرفوضة
overview-revoked = الإلغاءات
overview-chart-issued = الرموز المصدرة في آخر 60 دقيقة: { $sum }، وأكثرها في دقيقة واحدة: { $most }.
overview-chart-refused = الطلبات المرفوضة في آخر 60 دقيقة: { $sum }، وأكثرها في دقيقة واحدة: { $most }.
overview-chart-revoked = الإلغاءات في آخر 60 دقيقة: { $sum }، وأكثرها في دقيقة واحدة: { $most }.
overview-chart-none = لا شيء في آخر 60 دقيقة.
overview-hashing-queue = طابور تجزئة كلمات المرور
overview-hashing-queue-used = الأماكن المشغولة في الطابور: { $queued } من { $capacity }.
overview-hashing-workers = الخيوط المشغولة: { $working } من { $workers }، سعة الطابور: { $capacity }
overview-hashing-refused = (رُفض { $count } منذ البدء)
overview-no-edges = لا توجد حواف مسجّلة.
overview-refusals = حالات الرفض حسب السبب
overview-no-refusals = لم يُرفض شيء في آخر 60 دقيقة.
overview-refusal-count = العدد
overview-refusal-share = النسبة
overview-refusal-percent = { $percent } في المئة من الكل
overview-active-keys = المفاتيح النشطة

## العملاء

clients-lead = التطبيقات والخدمات التي تطلب الرموز.
clients-search = الاسم أو المالك أو المعرّف
clients-none = لا يوجد عملاء مسجّلون بعد.
clients-none-found = لا يوجد عميل يحتوي اسمه أو مالكه أو معرّفه على «{ $search }».
client-new = عميل جديد
client-edit = تعديل العميل
client-edit-title = تعديل { $client }
client-create = إنشاء العميل
client-identity = الهوية
client-owner = المالك
client-owner-hint = الناشر الذي يراه المستخدمون. اختياري.
client-id = معرّف العميل
client-id-hint = اتركه فارغًا لإنشاء معرّف عشوائي.
client-self-registered = مسجّل ذاتيًا
client-first-party = تطبيق داخلي
client-first-party-hint = تطبيق داخلي: لا تُطلب موافقة المستخدمين
client-first-party-yes = نعم: لا تُطلب موافقة المستخدمين
client-first-party-no = لا
client-authorization = التفويض
client-grants = أنواع المنح
client-authentication = مصادقة العميل
client-authentication-hint = اختر { $method } للتطبيقات التي لا تستطيع حفظ السر.
client-redirect-uris = عناوين إعادة التوجيه
client-redirect-uris-hint = عنوان في كل سطر. مطلوبة لمنح رمز التفويض.
client-logout-uris = عناوين إعادة التوجيه بعد تسجيل الخروج
client-logout-uris-hint = عنوان في كل سطر. اختيارية.
client-access-tokens = رموز الوصول
client-access-tokens-value = { $format }، موقّعة بواسطة { $algorithm }
client-scope-hint = كل قيم النطاق التي يجوز للعميل طلبها، مفصولة بمسافات.
client-audiences = الجهات المستقبِلة
client-audiences-hint = جهة في كل سطر. اتركها فارغة لاستخدام الجهة الافتراضية للخادم.
client-audience-default = { $audience } (الافتراضية)
client-token-format = صيغة الرمز
client-signing-algorithm = خوارزمية التوقيع
client-other-metadata = بيانات وصفية أخرى
client-other-metadata-label = بيانات وصفية أخرى للعميل، في صورة كائن JSON
client-other-metadata-hint = عناصر RFC 7591 وامتداداته، مثل jwks أو jwks_uri أو subject_type أو require_pushed_authorization_requests.
client-secrets = الأسرار
client-secrets-lead = لا تُخزَّن إلا التجزئات. يمكن أن يكون سرّان صالحين معًا ريثما ينتقل العميل إلى الجديد.
client-new-secret = سر جديد
client-no-secret = ليس للعميل سر ولا يستطيع المصادقة. أنشئ سرًا.
client-secret-expires = ينتهي
client-secret-expired = منتهي الصلاحية
client-secret-expiring = قارب على الانتهاء
client-secret-title = هل تريد إنشاء سر جديد للعميل؟
client-secret-create = إنشاء السر
client-secret-consequence = يظهر السر الجديد مرة واحدة. يبقى السر الحالي صالحًا ليوم واحد ريثما ينتقل العميل. تنتهي الأسرار الأقدم فورًا.
client-warning-no-pkce = طلبات التفويض من هذا العميل لا تحتاج إلى PKCE. إذا دسّ أحد رمز تفويض مسروقًا إلى العميل فلن يُكتشف ذلك (RFC 9700، القسم 4.5). اضبط require_pkce على unless_nonce أو always حالما يستطيع العميل ذلك.
client-tokens = الرموز
client-revoke-tokens = إلغاء كل الرموز المصدرة حتى الآن
client-admin-scope-title = هل تريد منح العميل صلاحيات المسؤول؟
client-admin-scope = يتضمن النطاق tollgate:admin. عندما يكون هذا الخادم هو الجهة المستقبِلة، يستطيع العميل فعل كل ما يستطيعه المسؤولون: إدارة العملاء والمستخدمين وإلغاء الرموز وتدوير المفاتيح.
client-disable-title = هل تريد تعطيل العميل؟
client-disable = تعطيل العميل
client-disable-consequence = لن يحصل العميل على رموز أخرى ولن يستطيع الاستعلام عن الرموز.
client-disable-revocation = تُلغى رموزه ومنح مستخدميه: ترفضها الحواف فورًا. لا يعيدها تفعيل العميل.
client-enable-title = هل تريد تفعيل العميل؟
client-enable = تفعيل العميل
client-enable-consequence = يستطيع العميل الحصول على الرموز من جديد بأسراره ومفاتيحه الحالية. تبقى الرموز الملغاة ملغاة.
client-created = تم إنشاء العميل { $client }.
client-updated = تم حفظ العميل { $client }.
client-secret-created = تم إنشاء سر جديد. يبقى السر السابق صالحًا ليوم واحد.
client-disabled = تم تعطيل العميل { $client }.
client-enabled = تم تفعيل العميل { $client }: يستطيع المصادقة من جديد.

## أنواع المنح التي يجوز للعميل استخدامها

grant-client-credentials = بيانات اعتماد العميل
grant-client-credentials-hint = خدمة تعمل باسمها.
grant-authorization-code = رمز التفويض
grant-authorization-code-hint = يسجّل المستخدمون الدخول عبر المتصفح.
grant-refresh-token = رمز التحديث
grant-refresh-token-hint = يستمر الوصول دون سؤال المستخدم مرة أخرى.
grant-device-code = رمز الجهاز
grant-device-code-hint = أجهزة وسطور أوامر بلا متصفح.
grant-token-exchange = تبادل الرموز
grant-token-exchange-hint = يمرّر رمزًا بصلاحيات أقل.
grant-jwt-bearer = حامل JWT
grant-jwt-bearer-hint = رمز JWT للعميل أو لجهة إصدار يثق بها.

## المستخدمون

users-lead = الأشخاص الذين يستطيعون تسجيل الدخول.
users-search = اسم المستخدم أو البريد الإلكتروني أو المعرّف
users-none-found = لا يوجد مستخدم يحتوي اسمه أو بريده الإلكتروني أو معرّفه على «{ $search }».
user-new = مستخدم جديد
user-create = إنشاء المستخدم
user-sign-in = تسجيل الدخول
user-username-hint = الاسم الذي يسجّل الدخول به، مثل عنوان بريده الإلكتروني.
user-password-hint = 8 أحرف على الأقل. اتركها فارغة لتوليد كلمة مرور تظهر مرة واحدة.
user-admin-hint = مسؤول: يستطيع فعل كل شيء في لوحة الإدارة
user-claims = معلومات للتطبيقات
user-full-name = الاسم الكامل
user-email = البريد الإلكتروني
user-more = المزيد
user-external-id = المعرّف الخارجي
user-external-id-hint = معرّف المستخدم في النظام الذي يديره.
user-other-claims = معلومات أخرى، في صورة كائن JSON
user-other-claims-hint = معلومات OpenID Connect Core، مثل locale أو phone_number.
user-all-claims = كل المعلومات
user-id = معرّف المستخدم
user-you = أنت
user-signs-in-with = يسجّل الدخول بواسطة
user-no-password = لا شيء بعد: لم تُحدَّد كلمة مرور
user-local-password = كلمة مرور مخزّنة هنا كتجزئة
user-external-directory = دليل المستخدمين الخارجي
user-no-sessions = لم يسجّل الدخول في أي مكان.
user-grants-lead = كل المنح النشطة، وما انتهى منها في اليوم الأخير.
user-no-grants = لا يملك أي تطبيق إذنًا بالوصول.
user-audit-about = ما سُجِّل عن هذا المستخدم في سجل التدقيق
user-audit-by = ما فعله هذا المستخدم
user-set-password = تعيين كلمة المرور
user-set-password-for = تعيين كلمة مرور لـ { $username }
user-set-password-lead = يتم تسجيل خروج المستخدم من كل مكان، وتنتهي المنح المعطاة في المتصفح. يبقى الوصول دون اتصال ووصول الأجهزة.
user-make-admin = جعله مسؤولًا
user-make-admin-title = هل تريد جعل المستخدم مسؤولًا؟
user-make-admin-consequence = سيستطيع فعل كل ما تستطيعه هنا: إدارة العملاء والمستخدمين وإلغاء الرموز وتدوير المفاتيح.
user-remove-admin = سحب صلاحيات المسؤول
user-remove-admin-title = هل تريد سحب صلاحيات المسؤول من المستخدم؟
user-remove-admin-consequence = لن يستطيع استخدام لوحة الإدارة. يبقى مسجّل الدخول وتبقى منحه.
user-disable-title = هل تريد تعطيل المستخدم؟
user-disable = تعطيل المستخدم
user-disable-consequence = يتم تسجيل خروجه من كل مكان ولا يستطيع تسجيل الدخول.
user-disable-revocation = تُلغى منحه للتطبيقات والأجهزة: ترفض الحواف رموزها فورًا. لا يعيدها تفعيل المستخدم.
user-enable-title = هل تريد تفعيل المستخدم؟
user-enable = تفعيل المستخدم
user-enable-consequence = يستطيع تسجيل الدخول من جديد. تبقى المنح الملغاة ملغاة: تطلب التطبيقات موافقته مرة أخرى.
user-created = تم إنشاء المستخدم { $username }.
user-password-set = تم تعيين كلمة مرور جديدة لـ { $username } وتسجيل خروجه من كل مكان.
user-disabled = تم تعطيل { $username }.
user-enabled = يستطيع { $username } تسجيل الدخول من جديد.
user-is-admin = أصبح { $username } مسؤولًا.
user-is-not-admin = لم يعد { $username } مسؤولًا.

## المفاتيح

keys-lead = تُدوَّر المفاتيح تلقائيًا. تعرف الحواف والعملاء المفتاح التالي قبل أن يوقّع.
keys-rotate = تدوير المفاتيح
keys-rotate-title = هل تريد تدوير المفاتيح؟
keys-rotate-lead = تُنشر مفاتيح جديدة الآن وتبدأ التوقيع { $when }. تبقى المفاتيح الحالية صالحة حتى ينتهي آخر رمز لها. لا يُرفض أي رمز.
keys-algorithm = الخوارزمية
keys-all-algorithms = EdDSA وES256 وRS256
keys-only-algorithm = { $algorithm } فقط
keys-rotate-immediately = التوقيع بالمفاتيح الجديدة فورًا
keys-rotate-immediately-hint = قد ترفض الحواف والعملاء الذين يحتفظون بنسخة من مجموعة المفاتيح رموزًا صالحة حتى يحدّثوها.
keys-key = المفتاح
keys-purpose = الغرض
keys-signs-from = يوقّع ابتداءً من
keys-last-token = انتهاء آخر رمز
keys-revoke-key = إلغاء { $algorithm } { $key }
keys-show-deleted = عرض المفاتيح المحذوفة
keys-hide-deleted = إخفاء المفاتيح المحذوفة
keys-purpose-token = يوقّع الرموز
keys-purpose-derive = تُشتق منه مفاتيح HS256 للجهات المستقبِلة
keys-purpose-secret = يشفّر الأسرار المخزّنة
keys-purpose-snapshot = يوقّع اللقطات للحواف
keys-active = نشط
keys-upcoming = قادم
keys-retiring = قيد التقاعد
keys-revoked = ملغى
keys-gone = محذوف
keys-rotated = تم نشر مفاتيح جديدة: { $keys }
keys-revoke-title = هل تريد إلغاء المفتاح؟
keys-revoke = إلغاء المفتاح
keys-revoke-consequence = ترفض الحواف فورًا كل رمز وقّعه. على العملاء الحصول على رموز جديدة.
keys-revoke-replacement = يُنشأ بديل تلقائيًا. استخدم هذا إذا كان المفتاح قد تسرّب؛ لاستبدال مفتاح دون حادث، دوّر المفاتيح بدلًا من ذلك.
keys-revoked-now = تم إلغاء المفتاح { $key }: ترفض الحواف رموزه.
keys-revoked-already = كان المفتاح { $key } ملغى من قبل.

## الإلغاءات

revocations-lead = ما ترفضه الحواف رغم أنه لم ينتهِ.
revocations-kind = النوع
revocations-id = المعرّف
revocations-id-placeholder = المعرّف كاملًا
revocations-id-hint = قيمة jti أو الرمز نفسه؛ أو sid أو sub أو client_id أو kid. غير مطلوب عند اختيار «كل شيء».
revocations-include-past = تضمين الإلغاءات السابقة
revocations-show-active = عرض النشطة فقط
revocations-none = لا يوجد شيء ملغى.
revocations-none-found = لا يوجد إلغاء مطابق.
revocations-target = الهدف
revocations-by = ألغاه
revocations-time = وقت الإلغاء
revocations-before = الصادر قبل { $date }
revocations-issued-before = الصادر قبل
revocations-issued-before-hint = بالتوقيت العالمي UTC. فقط عند اختيار «كل شيء».
revocations-lift = رفع الإلغاء
revocations-lift-name = رفع إلغاء { $kind } { $name }
revocations-active = نشط
revocations-lifted = مرفوع
revocations-expired = منتهٍ
revocation-token = رمز واحد
revocation-session = جلسة: ما منحه مستخدم لعميل
revocation-subject = صاحب: كل رموز مستخدم أو خدمة حتى الآن
revocation-client = عميل: كل رموزه حتى الآن
revocation-key = مفتاح: كل ما وقّعه أو سيوقّعه
revocation-everything = كل ما صدر قبل وقت معيّن
revocation-token-consequence = يُرفض هذا الرمز.
revocation-session-consequence = تنتهي الجلسة: تُرفض رموز الوصول ورموز التحديث الخاصة بها.
revocation-subject-consequence = تُرفض كل رموز هذا الصاحب حتى الآن وتنتهي منحه. الرموز التي تصدر لاحقًا صالحة.
revocation-client-consequence = تُرفض كل رموز هذا العميل حتى الآن وتنتهي منح مستخدميه. يستطيع الحصول على رموز جديدة ما لم تعطّله.
revocation-key-consequence = يُرفض كل رمز موقّع بهذا المفتاح، الآن ومستقبلًا.
revocation-everything-consequence = يُرفض كل رمز صدر قبل هذا الوقت: على كل العملاء والمستخدمين الحصول على رموز جديدة.
revocation-title = هل تريد الإلغاء؟
revocation-propagation = ترفضه الحواف خلال ثانية تقريبًا. يمكن رفع الإلغاء.
revocation-created = تم الإلغاء: يجري إعلام الحواف.
revocation-exists = كان ملغى من قبل.
revocation-number = الإلغاء
revocation-lift-title = هل تريد رفع الإلغاء؟
revocation-lift-consequence = تصبح الرموز التي شملها صالحة من جديد حتى تنتهي، ما لم يشملها إلغاء آخر. تبقى الجلسة المنتهية منتهية: على المستخدم منح الإذن مرة أخرى.
revocation-lifted = تم رفع الإلغاء { $number }.

## خوادم الموارد

resources-lead = الواجهات البرمجية التي تُوجَّه إليها الرموز، وكيف يقرأ المستخدمون قيم نطاقها.
resources-none = لا يوجد خادم مسجّل. لا تحتاج الرموز إليه: يصف قيم النطاق للمستخدمين ويتيح لعميل الاستعلام عن الرموز.
resources-resource = خادم الموارد
resource-new = خادم موارد جديد
resource-edit = تعديل خادم الموارد
resource-create = إنشاء خادم الموارد
resource-audience = الجهة المستقبِلة
resource-audience-hint = قيمة { $claim } في رموزه، وهي عادةً عنوان URL الخاص به.
resource-scopes = قيم النطاق
resource-scopes-hint = قيمة في كل سطر مع معناها: { $example }
resource-introspection-client = عميل الاستعلام
resource-introspection-client-hint = معرّف العميل الذي يستعلم به عن الرموز. اختياري.
resource-verifier = برنامج التحقق
resource-verifier-none = الإعدادات أدناه
resource-verifier-hint = ما يتحقق من رموزه. يضبط الاختيار الخوارزمية والنوع والصيغة على ما يقبله هذا البرنامج دون إعداد.
resource-as-client = كما هو مسجّل للعميل
resource-default = الافتراضي
resource-token-type = النوع ({ $member })
resource-token-lifetime = أطول مدة صلاحية
resource-token-lifetime-hint = بالثواني. تسري أقصر مدة بين العميل وخادم الموارد والخادم.
resource-token-claims = مطالبات المستخدم
resource-token-claims-hint = أسماء تفصل بينها مسافات، مثل { $example }. تحتويها رموز الوصول الخاصة به.
resource-remove-title = هل تريد إزالة خادم الموارد؟
resource-remove-consequence = سيرى المستخدمون قيم نطاقه بلا وصف في صفحة الموافقة، ولن يستطيع عميله الاستعلام عن الرموز. تبقى الرموز صالحة.
resource-created = تم إنشاء خادم الموارد { $name }.
resource-updated = تم حفظ خادم الموارد { $name }.
resource-removed = تمت إزالة خادم الموارد { $name }.

## المسارات

routes-lead = ما تشترطه الحواف في الطلبات. يُعتمد أطول مسار مطابق؛ وتُقدَّم القاعدة الخاصة بطريقة على القاعدة العامة.
routes-none = لا توجد قواعد: يحتاج كل طلب إلى رمز صالح بأي نطاق.
route-new = قاعدة جديدة
route-create = إنشاء القاعدة
route-requests = الطلبات
route-path = المسار
route-path-hint = المسار نفسه أو كل ما تحته: { $example }
route-methods = الطرق
route-methods-hint = مفصولة بمسافات، مثل { $example }. اتركها فارغة للكل.
route-requirements = المتطلبات
route-scope-hint = قيم النطاق التي يجب أن تكون كلها في الرمز. اتركها فارغة لقبول أي رمز صالح.
route-public = عام
route-public-hint = عام: لا حاجة إلى رمز
route-valid-token = رمز صالح
route-unknown-status = عندما لا تستطيع الحافة معرفة حالة الرمز
route-on-stale = إذا كانت النسخة قديمة
route-on-not-covered = إذا كان الرمز أحدث من النسخة
route-deny = رفض
route-allow = سماح
route-remove-title = هل تريد إزالة القاعدة؟
route-remove = إزالة القاعدة
route-remove-consequence = تستخدم الحواف عندئذٍ القاعدة المطابقة التالية، وإن لم توجد تشترط رمزًا صالحًا بأي نطاق.
route-rule = القاعدة
route-created = تم إنشاء القاعدة { $rule }: يجري إعلام الحواف.
route-removed = تمت إزالة القاعدة { $rule }.

## الحواف

edges-lead = الحواف التي تُدفع إليها التغييرات. رقم أحدث تغيير هو { $sequence }.
edges-none = لا توجد حواف مسجّلة. لا تحتاج الحواف التي تستعلم بنفسها إلى تسجيل؛ يسجّل { $command } حافةً تُدفع إليها التغييرات وتظهر هنا.
edges-edge = الحافة
edges-lag = التأخر
edges-acknowledged = المؤكَّد
edges-never-seen = لم تظهر قط
edges-silent = صامتة
edges-current = محدَّثة
edges-behind = متأخرة

## سجل التدقيق

audit-lead = من فعل ماذا، الأحدث أولًا. لا تُغيَّر المُدخلات ولا تُحذف أبدًا.
audit-export-csv = تصدير CSV
audit-export-json-lines = تصدير JSON Lines
audit-time = الوقت
audit-actor = الفاعل
audit-action = الإجراء
audit-target = الهدف
audit-target-kind = نوع الهدف
audit-target-id = معرّف الهدف
audit-details = السبب أو التفاصيل
audit-since = من (UTC)
audit-until = حتى (UTC)
audit-none = لا توجد مُدخلات مطابقة.
